import type { DetectionSpec } from '../../lib/pipeline/spec.ts'

type Calendar = NonNullable<DetectionSpec['calendars']>[number]

/** Answers whether a time, in ms since 1970, is in a named span. */
type Holds = (time: number) => boolean

const dayMs = 86_400_000
/** Time zones have changed their offsets at whole quarters of an hour only, for half a century. */
const quarterMs = 900_000
/** The epoch was a Thursday. */
const daysFromEpoch = ['Thursday', 'Friday', 'Saturday', 'Sunday', 'Monday', 'Tuesday', 'Wednesday'] as const

/** The spans of the document in which what is unusual is expected. An event without a time is in none. */
export class Calendars {
  readonly #all: readonly Holds[]

  constructor({ calendars = [] }: Pick<DetectionSpec, 'calendars'>) {
    this.#all = calendars.map(holdsOf)
  }

  hold(time: number): boolean {
    return this.#all.some((holds) => holds(time))
  }
}

function holdsOf({ spans = [], weekly = [], timeZone = 'UTC' }: Calendar): Holds {
  const dates = spans.map(({ from, to }) => [Date.parse(from), Date.parse(to)] as const)
  const times = weekly.map(({ days = daysFromEpoch, from, to }) => {
    const begin = msOfDay(from)
    const end = msOfDay(to)
    // Up to a time that is not later, it goes on into the next day.
    return { days: new Set<string>(days), begin, length: end > begin ? end - begin : end + dayMs - begin }
  })
  const localOf = times.length === 0 ? (time: number) => time : localTimes(timeZone)
  return (time) => {
    if (dates.some(([from, to]) => time >= from && time < to)) return true
    if (times.length === 0 || Number.isNaN(time)) return false
    const local = localOf(time)
    return times.some(({ days, begin, length }) => {
      const day = Math.floor((local - begin) / dayMs)
      return local - begin - day * dayMs < length && days.has(daysFromEpoch[((day % 7) + 7) % 7]!)
    })
  }
}

function msOfDay(text: string): number {
  const [hours, minutes] = text.split(':').map(Number) as [number, number]
  return (hours * 60 + minutes) * 60_000
}

/** What clocks of the time zone show, as if it was UTC. Remembers the offset of the last quarter of an hour it was asked for. */
function localTimes(timeZone: string): (time: number) => number {
  if (timeZone === 'UTC') return (time) => time
  const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
  let known = Number.NaN
  let offset = 0
  return (time) => {
    const quarter = Math.floor(time / quarterMs)
    if (quarter !== known) {
      known = quarter
      offset = offsetOf(format, quarter * quarterMs)
    }
    return time + offset
  }
}

/** In ms; the format says GMT, GMT+02:00 or GMT-03:30. */
function offsetOf(format: Intl.DateTimeFormat, time: number): number {
  const name = format.formatToParts(time).find(({ type }) => type === 'timeZoneName')?.value ?? ''
  const [, sign, hours, minutes] = /([+-])(\d+):(\d+)/.exec(name) ?? []
  return sign === undefined ? 0 : (sign === '-' ? -1 : 1) * msOfDay(`${hours}:${minutes}`)
}
