import { isOlder, type KubeObject, keyOf } from './kube-object.ts'

export interface Change {
  readonly type: 'added' | 'updated' | 'deleted'
  /** As it is now; of a deleted object, as it was last seen. */
  readonly object: KubeObject
  /** As it was before; absent for an added object. */
  readonly previous?: KubeObject | undefined
}

/** Under which values an index files an object. */
export type Index = (object: KubeObject) => readonly string[]

/**
 * The objects of one kind, as last seen. Objects are shared with every reader: nobody changes them. An older version
 * never replaces a newer one, so that what a write returned can be put in at once and is not undone by a watch that
 * lags behind: a reader finds its own writes.
 */
export interface Cache {
  get(key: string): KubeObject | undefined
  values(): IterableIterator<KubeObject>
  readonly size: number
  /** The objects that name this uid among their owners. */
  ownedBy(uid: string): readonly KubeObject[]
  /** The objects that the index of this name files under the value. */
  indexed(index: string, value: string): readonly KubeObject[]
  /** Called after every change, in order. Returns how to end it. */
  subscribe(listener: (change: Change) => void): () => void

  /** Takes in an object that was read or written. */
  put(object: KubeObject): void
  /** Takes in that an object is gone; `object` is as it was when it went. */
  remove(object: KubeObject): void
  /**
   * Takes in a whole list as of `resourceVersion`: objects within it that the list lacks are gone, unless they are newer
   * than the list. `within` narrows what the list speaks of, where several lists feed one cache.
   */
  replace(objects: readonly KubeObject[], resourceVersion: string, within?: (object: KubeObject) => boolean): void
}

const owners: Index = (object) => (object.metadata.ownerReferences ?? []).map((reference) => reference.uid)

/** An empty cache with an index of owners and further ones by name. */
export function createCache(indexes: Readonly<Record<string, Index>> = {}): Cache {
  const objects = new Map<string, KubeObject>()
  const listeners = new Set<(change: Change) => void>()
  const filings = new Map(
    Object.entries({ ...indexes, '': owners }).map(([name, valuesOf]) => [
      name,
      { valuesOf, files: new Map<string, Set<string>>() },
    ]),
  )

  function file(key: string, before: KubeObject | undefined, after: KubeObject | undefined): void {
    for (const { valuesOf, files } of filings.values()) {
      for (const value of before === undefined ? [] : valuesOf(before)) {
        const keys = files.get(value)
        keys?.delete(key)
        if (keys?.size === 0) files.delete(value)
      }
      for (const value of after === undefined ? [] : valuesOf(after)) {
        const keys = files.get(value)
        if (keys === undefined) files.set(value, new Set([key]))
        else keys.add(key)
      }
    }
  }

  function tell(change: Change): void {
    for (const listener of listeners) listener(change)
  }

  function indexed(index: string, value: string): readonly KubeObject[] {
    const filing = filings.get(index)
    if (filing === undefined) throw new RangeError(`The cache has no index named ${index}`)
    return [...(filing.files.get(value) ?? [])].map((key) => objects.get(key)!)
  }

  const cache: Cache = {
    get: (key) => objects.get(key),
    values: () => objects.values(),
    get size() {
      return objects.size
    },
    ownedBy: (uid) => indexed('', uid),
    indexed,
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    put(object) {
      const key = keyOf(object)
      const previous = objects.get(key)
      if (previous !== undefined) {
        const [is, was] = [object.metadata.resourceVersion, previous.metadata.resourceVersion]
        if (isOlder(is, was) || (is === was && is !== undefined)) return
      }
      objects.set(key, object)
      file(key, previous, object)
      tell({ type: previous === undefined ? 'added' : 'updated', object, previous })
    },
    remove(object) {
      const key = keyOf(object)
      const previous = objects.get(key)
      if (previous === undefined || isOlder(object.metadata.resourceVersion, previous.metadata.resourceVersion)) return
      objects.delete(key)
      file(key, previous, undefined)
      tell({ type: 'deleted', object, previous })
    },
    replace(list, resourceVersion, within = () => true) {
      const listed = new Set(list.map(keyOf))
      for (const [key, object] of [...objects]) {
        if (listed.has(key) || !within(object) || isOlder(resourceVersion, object.metadata.resourceVersion)) continue
        cache.remove(object)
      }
      for (const object of list) cache.put(object)
    },
  }
  return cache
}
