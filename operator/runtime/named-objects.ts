import type { Cache } from './cache.ts'
import { createCache } from './cache.ts'
import { type KubeObject, keyOf, splitKey } from './kube-object.ts'
import { type Reflector, type ReflectorOptions, startReflector } from './reflector.ts'

export interface NamedObjectsOptions
  extends Omit<ReflectorOptions, 'namespace' | 'labelSelector' | 'fieldSelector' | 'within' | 'cache'> {
  /** Called with the users of an object when it changed, came, went, or is known for the first time (also as missing). */
  readonly changed: (users: readonly string[]) => void
}

/**
 * Objects of one kind that are watched one by one, by name, because somebody named them: what a program may see is then
 * no more than what it was told to use. Each costs a connection for its watch.
 */
export interface NamedObjects {
  /** From now on the user needs exactly these objects (`namespace/name`). What nobody needs any more is let go. */
  use(user: string, keys: readonly string[]): void
  /** The object; null if there is none; undefined while that is not known yet. */
  get(key: string): KubeObject | null | undefined
  /** Why it is not known, where the API server refuses it or does not answer. */
  failure(key: string): unknown
  stop(): Promise<void>
}

interface Entry {
  readonly reflector: Reflector
  readonly users: Set<string>
}

/** Nothing is watched until it is used. */
export function createNamedObjects({ changed, ...options }: NamedObjectsOptions): NamedObjects {
  const cache: Cache = createCache()
  const entries = new Map<string, Entry>()

  cache.subscribe(({ object }) => {
    const entry = entries.get(keyOf(object))
    if (entry?.reflector.hasSynced() === true) changed([...entry.users])
  })

  function start(key: string): Entry {
    const { name, namespace } = splitKey(key)
    const reflector = startReflector({
      ...options,
      cache,
      namespace,
      fieldSelector: `metadata.name=${name}`,
      within: (object) => keyOf(object) === key,
    })
    const entry: Entry = { reflector, users: new Set() }
    reflector.synced.then(
      () => changed([...entry.users]),
      () => {},
    )
    entries.set(key, entry)
    return entry
  }

  async function letGo(key: string, { reflector }: Entry): Promise<void> {
    entries.delete(key)
    await reflector.stop()
    const object = cache.get(key)
    if (object !== undefined && !entries.has(key)) cache.remove(object)
  }

  return {
    use(user, keys) {
      for (const key of keys) (entries.get(key) ?? start(key)).users.add(user)
      for (const [key, entry] of entries) {
        if (keys.includes(key) || !entry.users.delete(user) || entry.users.size > 0) continue
        void letGo(key, entry)
      }
    },
    get(key) {
      if (entries.get(key)?.reflector.hasSynced() !== true) return undefined
      return cache.get(key) ?? null
    },
    failure: (key) => entries.get(key)?.reflector.failure(),
    async stop() {
      await Promise.all([...entries].map(([key, entry]) => letGo(key, entry)))
    },
  }
}
