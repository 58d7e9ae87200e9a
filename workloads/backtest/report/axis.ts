import { formatNumber } from '../../terminal/wording.ts'

/** Horizontal units of a plot; a browser stretches them to the width of the page. */
export const plotWidth = 1000

export interface Tick {
  /** 0 to `plotWidth`. */
  readonly at: number
  readonly label: string
}

export interface Axis {
  /** 0 to `plotWidth`, to a tenth. */
  position(x: number): number
  readonly ticks: readonly Tick[]
}

const mostTicks = 12

/** Over the rows of the input, with ticks at 1, 2 or 5 times a power of ten. */
export function rowAxis(rows: number): Axis {
  const last = Math.max(rows - 1, 1)
  const power = 10 ** Math.floor(Math.log10(last / mostTicks))
  const step = Math.max(1, [1, 2, 5, 10].map((factor) => factor * power).find((step) => step * mostTicks >= last)!)
  const ticks: number[] = []
  for (let row = 0; row <= last; row += step) ticks.push(row)
  return axis(0, last, ticks, formatNumber)
}

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const timeSteps = [
  ...[1000, 2000, 5000, 10_000, 15_000, 30_000],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * minute),
  ...[1, 2, 3, 6, 12].map((n) => n * hour),
  ...[1, 2, 7, 14].map((n) => n * day),
]
const monthSteps = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600]
/** Weeks are counted from a Monday. */
const firstMonday = 4 * day

/** From one time to another (ms since 1970, UTC), with ticks at the beginnings of minutes, hours, days, weeks, months or years. */
export function timeAxis(from: number, to: number): Axis {
  const least = (to - from) / mostTicks
  const step = timeSteps.find((step) => step >= least)
  if (step === undefined) return monthAxis(from, to)
  const origin = step >= 7 * day ? firstMonday : 0
  const ticks: number[] = []
  for (let n = Math.ceil((from - origin) / step); origin + n * step <= to; n++) ticks.push(origin + n * step)
  return axis(from, to, ticks, (time) => (time % day === 0 ? dayAndMonth(time) : clock(time, step < minute)))
}

function monthAxis(from: number, to: number): Axis {
  const months = (time: number) => 12 * new Date(time).getUTCFullYear() + new Date(time).getUTCMonth()
  const least = (months(to) - months(from)) / mostTicks
  const step = monthSteps.find((step) => step >= least) ?? monthSteps.at(-1)!
  const ticks: number[] = []
  for (let n = Math.floor(months(from) / step) + 1; n * step <= months(to); n++)
    ticks.push(Date.UTC(1970, n * step - 12 * 1970))
  return axis(from, to, ticks, (time) => (step >= 12 ? year(time) : monthAndYear(time)))
}

function axis(from: number, to: number, ticks: readonly number[], format: (x: number) => string): Axis {
  const position = (x: number) => tenth(to > from ? (plotWidth * (x - from)) / (to - from) : plotWidth / 2)
  return { position, ticks: ticks.map((x) => ({ at: position(x), label: format(x) })) }
}

/** To a tenth of a unit, so that paths stay short. */
export function tenth(x: number): number {
  return Math.round(x * 10) / 10
}

const dayFormat = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })
const monthFormat = new Intl.DateTimeFormat('en-GB', { month: 'short', year: 'numeric', timeZone: 'UTC' })

function dayAndMonth(time: number): string {
  return dayFormat.format(time)
}

function monthAndYear(time: number): string {
  return monthFormat.format(time)
}

function year(time: number): string {
  return String(new Date(time).getUTCFullYear())
}

function clock(time: number, seconds: boolean): string {
  return new Date(time).toISOString().slice(11, seconds ? 19 : 16)
}
