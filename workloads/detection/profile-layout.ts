/** Presence counts up to 7. */
export const mostPresence = 7

/**
 * Numbers of a key before those of its fields: its events (up to the cap), events since it last began anew, excess, weight
 * of the excess, latest time in two halves, events in a row that were not later.
 */
export const header = 7
export const atWeight = 0
export const atPace = 1
export const atExcess = 2
export const atExcessWeight = 3
export const atTime = 4
export const atLate = 6

/**
 * Fields come in threes: 8 bits each in one number (presence in three, run beyond the edge in five), then location (from
 * the field's origin) and spread of each.
 */
export const perGroup = 3
export const groupWidth = 1 + 2 * perGroup

/** Numbers of a key with so many fields. */
export function widthFor(fields: number): number {
  return header + groupWidth * Math.ceil(fields / perGroup)
}

export function presenceIn(bits: number, place: number): number {
  return (bits >> (8 * place)) & 7
}

export function runIn(bits: number, place: number): number {
  return (bits >> (8 * place + 3)) & 31
}

export function withBits(bits: number, place: number, presence: number, run: number): number {
  return (bits & ~(255 << (8 * place))) | (((run << 3) | presence) << (8 * place))
}
