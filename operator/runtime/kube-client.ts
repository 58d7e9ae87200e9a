import type { KubeConfig } from '@kubernetes/client-node'
import { AppError } from '../../lib/errors.ts'
import type { KubeObject, ObjectKey, Resource } from './kube-object.ts'
import { collectionPath, nameOf, objectPath, queryOf, type Selection, selectors } from './kube-path.ts'
import { createKubeTransport, type KubeClientOptions } from './kube-transport.ts'
import { readWatch, type WatchEvent } from './watch-stream.ts'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

export interface ListOptions extends Selection, CallOptions {
  /** Most objects in one page. */
  readonly limit?: number | undefined
  /** Token of the page before, for the next. */
  readonly continue?: string | undefined
}

export interface Page {
  readonly items: readonly KubeObject[]
  readonly resourceVersion: string
  /** Present when there is a further page. */
  readonly continue?: string | undefined
}

export interface WatchOptions extends Selection, CallOptions {
  /** Changes after this version are sent. */
  readonly resourceVersion: string
  /** The API server ends the watch after so many seconds. */
  readonly timeoutSeconds: number
  /** The watch is given up after so many milliseconds without a byte. */
  readonly idleTimeoutMs: number
  /** Called once when the API server has accepted the watch. */
  readonly onOpen?: () => void
  /** Called for each event, in order. What it throws ends the watch. */
  readonly onEvent: (event: WatchEvent) => void
}

export interface ApplyOptions extends CallOptions {
  /** In whose name the fields are set. */
  readonly fieldManager: string
  /** Takes fields over from other managers in the place of failing with a conflict. */
  readonly force?: boolean
  readonly subresource?: string | undefined
}

export interface DeleteOptions extends CallOptions {
  /** Only the object with this uid is deleted: never its successor of the same name. */
  readonly uid?: string | undefined
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
}

/**
 * The API server's API as raw JSON: nothing that this version does not know is lost on the way. Every call ends within
 * its deadline. Errors are AppErrors; `statusOf` gives what the API server said.
 */
export interface KubeClient {
  get(resource: Resource, key: ObjectKey, options?: CallOptions): Promise<KubeObject>
  /** One page, read from the store itself, not from the API server's cache. */
  list(resource: Resource, options?: ListOptions): Promise<Page>
  /** Resolves when the API server ends the watch; rejects when it fails. */
  watch(resource: Resource, options: WatchOptions): Promise<void>
  create(resource: Resource, object: KubeObject, options?: CallOptions): Promise<KubeObject>
  /** Replaces the object; with `metadata.resourceVersion` only if it is still that version, else Conflict. */
  update(resource: Resource, object: KubeObject, options?: CallOptions): Promise<KubeObject>
  /** Server-side apply. */
  apply(resource: Resource, object: KubeObject, options: ApplyOptions): Promise<KubeObject>
  /** JSON merge patch (RFC 7386): null removes a field. */
  patch(
    resource: Resource,
    key: ObjectKey,
    patch: Readonly<Record<string, unknown>>,
    options?: CallOptions & { readonly subresource?: string | undefined },
  ): Promise<KubeObject>
  /** Gives the object where it goes on existing for a while (finalizers, grace), undefined where it is gone at once. */
  delete(resource: Resource, key: ObjectKey, options?: DeleteOptions): Promise<KubeObject | undefined>
  /** Closes idle connections. */
  close(): void
}

/** A client of the cluster that `kubeConfig` names, with its credentials. */
export function createKubeClient(kubeConfig: KubeConfig, options: KubeClientOptions): KubeClient {
  const { send, stream, close } = createKubeTransport(kubeConfig, options)
  return {
    get: async (resource, key, { signal } = {}) =>
      (await send({
        what: `get ${resource.kind} ${nameOf(key)}`,
        method: 'GET',
        path: objectPath(resource, key),
        signal,
      })) as KubeObject,

    async list(resource, listOptions = {}) {
      const { limit, continue: token, signal } = listOptions
      const query = { ...selectors(listOptions), limit, continue: token }
      const path = collectionPath(resource, listOptions.namespace) + queryOf(query)
      const body = (await send({ what: `list ${resource.plural}`, method: 'GET', path, signal })) as Partial<{
        items: KubeObject[] | null
        metadata: { resourceVersion?: string; continue?: string }
      }>
      if (typeof body.metadata?.resourceVersion !== 'string') {
        throw new AppError('Unavailable', `Cannot list ${resource.plural}: the answer is not a list`)
      }
      // Items of a list come without the two words that every other answer has.
      const items = (body.items ?? []).map((item) => ({
        ...item,
        apiVersion: resource.apiVersion,
        kind: resource.kind,
      }))
      return { items, resourceVersion: body.metadata.resourceVersion, continue: body.metadata.continue || undefined }
    },

    async watch(resource, watchOptions) {
      const { resourceVersion, timeoutSeconds, idleTimeoutMs, onOpen, onEvent, namespace, signal } = watchOptions
      const query = {
        ...selectors(watchOptions),
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion,
        timeoutSeconds,
      }
      const what = `watch ${resource.plural}`
      const path = collectionPath(resource, namespace) + queryOf(query)
      await stream({ what, method: 'GET', path, signal }, async ({ body, restart }) => {
        restart(idleTimeoutMs)
        onOpen?.()
        await readWatch(body, { what, onBytes: () => restart(idleTimeoutMs), onEvent })
      })
    },

    create: async (resource, object, { signal } = {}) =>
      (await send({
        what: `create ${resource.kind} ${nameOf(object.metadata)}`,
        method: 'POST',
        path: collectionPath(resource, object.metadata.namespace),
        body: object,
        signal,
      })) as KubeObject,

    update: async (resource, object, { signal } = {}) =>
      (await send({
        what: `update ${resource.kind} ${nameOf(object.metadata)}`,
        method: 'PUT',
        path: objectPath(resource, object.metadata),
        body: object,
        signal,
      })) as KubeObject,

    apply: async (resource, object, { fieldManager, force = false, subresource, signal }) =>
      (await send({
        what: `apply ${resource.kind} ${nameOf(object.metadata)}`,
        method: 'PATCH',
        path:
          objectPath(resource, object.metadata, subresource) +
          queryOf({ fieldManager, force: force ? 'true' : undefined }),
        contentType: 'application/apply-patch+yaml',
        body: object,
        signal,
      })) as KubeObject,

    patch: async (resource, key, patch, { subresource, signal } = {}) =>
      (await send({
        what: `patch ${resource.kind} ${nameOf(key)}`,
        method: 'PATCH',
        path: objectPath(resource, key, subresource),
        contentType: 'application/merge-patch+json',
        body: patch,
        signal,
      })) as KubeObject,

    async delete(resource, key, { uid, propagationPolicy = 'Background', signal } = {}) {
      const preconditions = uid === undefined ? {} : { preconditions: { uid } }
      const body = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy, ...preconditions }
      const answer = (await send({
        what: `delete ${resource.kind} ${nameOf(key)}`,
        method: 'DELETE',
        path: objectPath(resource, key),
        body,
        signal,
      })) as KubeObject
      return answer.kind !== 'Status' && answer.metadata?.deletionTimestamp !== undefined ? answer : undefined
    },

    close,
  }
}
