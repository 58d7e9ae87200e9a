/** What one request holds of a budget. */
export interface ByteShare {
  /** Holds so many more bytes. Where all are held, the largest share is taken away: false where that is this one. */
  take(bytes: number): boolean
  /** From now on it is not taken away: what it is held for is under way. */
  keep(): void
  /** Everything held is free again. */
  free(): void
}

export interface ByteBudget {
  /** Bytes that are held now. */
  readonly taken: number
  /** @param refuse is called at most once, when the share is taken away */
  open(refuse: () => void): ByteShare
}

interface Holder {
  bytes: number
  isKept: boolean
  readonly refuse: () => void
}

/**
 * The bytes that requests may hold at once in a process. The largest goes first when there are too many: a caller with
 * many large requests, finished or not, leaves room for the small ones of others.
 */
export function createByteBudget(maxBytes: number): ByteBudget {
  const holders = new Set<Holder>()
  let taken = 0

  function free(holder: Holder): void {
    if (!holders.delete(holder)) return
    taken -= holder.bytes
  }

  function largest(): Holder | undefined {
    let found: Holder | undefined
    for (const holder of holders) if (!holder.isKept && holder.bytes > (found?.bytes ?? 0)) found = holder
    return found
  }

  return {
    get taken() {
      return taken
    },
    open(refuse) {
      const holder: Holder = { bytes: 0, isKept: false, refuse }
      holders.add(holder)
      return {
        take(bytes) {
          if (!holders.has(holder)) return false
          holder.bytes += bytes
          taken += bytes
          while (taken > maxBytes) {
            const one = largest()!
            free(one)
            one.refuse()
          }
          return holders.has(holder)
        },
        keep() {
          holder.isKept = true
        },
        free: () => free(holder),
      }
    },
  }
}
