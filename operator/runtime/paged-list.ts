import { isTooLong } from '../../lib/bounded-body.ts'
import type { KubeClient } from './kube-client.ts'
import type { KubeObject, Resource } from './kube-object.ts'
import type { Selection } from './kube-path.ts'
import { isExpired } from './kube-status.ts'

export interface PagedListOptions {
  readonly client: KubeClient
  readonly resource: Resource
  readonly selection: Selection
  /** What of an object is kept. */
  readonly keep: (object: KubeObject) => KubeObject
  /** Objects a page, to begin with. */
  readonly pageSize: number
}

export interface WholeList {
  readonly objects: readonly KubeObject[]
  readonly resourceVersion: string
}

/**
 * Reads whole lists page by page. Where the pages took so long that the list is no longer there, it is read once more at one
 * go; where a page is too long to be read, fewer objects are asked for, now and later.
 */
export function createPagedList(options: PagedListOptions): (signal: AbortSignal) => Promise<WholeList> {
  const { client, resource, selection, keep, pageSize } = options
  let pageLimit = pageSize

  return async (signal) => {
    const objects: KubeObject[] = []
    let limit: number | undefined = pageLimit
    let token: string | undefined
    for (;;) {
      try {
        const page = await client.list(resource, { ...selection, limit, continue: token, signal })
        for (const item of page.items) objects.push(keep(item))
        token = page.continue
        if (token === undefined) return { objects, resourceVersion: page.resourceVersion }
      } catch (error) {
        if (isTooLong(error) && pageLimit > 1) {
          pageLimit = Math.ceil(pageLimit / 10)
          limit = pageLimit
        } else if (isExpired(error) && token !== undefined) {
          limit = undefined
        } else throw error
        objects.length = 0
        token = undefined
      }
    }
  }
}
