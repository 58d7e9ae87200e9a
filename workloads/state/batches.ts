/** What one call to the store takes at most. */
export const maxKeys = 1000
export const maxBytes = 2 ** 20

/** Cuts entries, in order, into runs within both limits; an entry larger than `bytesAtOnce` makes a run of its own. */
export function* batches<T>(
  entries: Iterable<T>,
  sizeOf: (entry: T) => number,
  bytesAtOnce: number = maxBytes,
): Generator<T[]> {
  let batch: T[] = []
  let bytes = 0
  for (const entry of entries) {
    const size = sizeOf(entry)
    if (batch.length > 0 && (batch.length >= maxKeys || bytes + size > bytesAtOnce)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(entry)
    bytes += size
  }
  if (batch.length > 0) yield batch
}
