/** Rows of a series that belong to one anomaly; both ends are in it. */
export interface Segment {
  readonly first: number
  readonly last: number
}

/** Labelled rows that lie closer than this are one anomaly. */
const gap = 10
/** An alert counts as right from so many rows before a segment to so many after it. */
const before = 3
const after = 10

/** Labels of a series, 1 = anomalous, as segments. */
export function segmentsOf(labels: readonly number[]): Segment[] {
  const segments: { first: number; last: number }[] = []
  labels.forEach((label, row) => {
    if (label !== 1) return
    const former = segments.at(-1)
    if (former !== undefined && row - former.last <= gap) former.last = row
    else segments.push({ first: row, last: row })
  })
  return segments
}

/** How many segments have an alert, and how many alerts belong to none. Each entry a series. */
export function foundSegments(
  collection: readonly (readonly Segment[])[],
  alerts: readonly Uint8Array[],
): { found: number; wrong: number } {
  let found = 0
  let wrong = 0
  collection.forEach((segments, at) => {
    const hit = new Set<Segment>()
    alerts[at]!.forEach((alert, row) => {
      if (alert === 0) return
      const right = segments.filter(({ first, last }) => row >= first - before && row <= last + after)
      for (const segment of right) hit.add(segment)
      if (right.length === 0) wrong++
    })
    found += hit.size
  })
  return { found, wrong }
}
