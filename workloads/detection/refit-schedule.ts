/** Rows of a stream's first model: the fewest that say anything of it. */
const first = 16

/**
 * The number of rows seen at which the model is fitted next, above `rowsSeen`: 16, then at every doubling until
 * `refitEvents`, then every `refitEvents`. Short streams gain most from an early first model; young ones change fastest.
 */
export function nextRefit(rowsSeen: number, refitEvents: number): number {
  let due = Math.min(first, refitEvents)
  while (due <= rowsSeen && due < refitEvents) due = Math.min(2 * due, refitEvents)
  return due > rowsSeen ? due : (Math.floor(rowsSeen / refitEvents) + 1) * refitEvents
}
