/** Magnitudes of numbers that mean times: below the first seconds since 1970 (up to the year 5138), then ms, µs and ns (each from 1973). */
const firstMillisecond = 1e11
const firstMicrosecond = 1e14
const firstNanosecond = 1e17

const epoch = /^\d+(?:\.\d*)?(?:e\+?\d+)?$/i
const dateTime =
  /^(\d{4})([-/])(\d{2})\2(\d{2})(?:[T ]+(\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?\s*(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?(?:\[[\w/+-]{1,40}\])?)?$/i
const compactDateTime = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(?:(\d{2})(?:[.,](\d+))?)?(Z|[+-]\d{2}(?::?\d{2})?)?$/i

/**
 * Milliseconds since 1970 of a number of seconds, milliseconds, microseconds or nanoseconds, told apart by their
 * magnitude, as a number or as text; of RFC 3339; or of a date-time without zone, which is UTC. NaN for anything else.
 */
export function timeOf(raw: unknown): number {
  if (typeof raw === 'number') return fromNumber(raw)
  if (typeof raw === 'bigint') return fromNumber(Number(raw))
  if (typeof raw !== 'string') return Number.NaN
  const usual = fromUsual(raw)
  if (usual !== undefined) return usual
  let parts = dateTime.exec(raw)
  if (parts !== null) {
    const [, year, , month, day, hour = '0', minute = '0', second = '0', fraction, zone] = parts
    return fromParts(+year!, +month!, +day!, +hour, +minute, +second, fraction, zone)
  }
  const text = raw.trim()
  if (epoch.test(text)) return fromNumber(Number(text))
  parts = compactDateTime.exec(text)
  if (parts !== null) {
    const [, year, month, day, hour, minute, second = '0', fraction, zone] = parts
    return fromParts(+year!, +month!, +day!, +hour!, +minute!, +second, fraction, zone)
  }
  return text === raw ? Number.NaN : timeOf(text)
}

/** `2024-01-31T23:59:59Z`, with or without milliseconds, which is what nearly everybody writes; else undefined. */
function fromUsual(text: string): number | undefined {
  const { length } = text
  if ((length !== 20 && length !== 24) || text[length - 1] !== 'Z' || text[10] !== 'T') return undefined
  if (text[4] !== '-' || text[7] !== '-' || text[13] !== ':' || text[16] !== ':') return undefined
  const milliseconds = length === 24 && text[19] === '.' ? digitsAt(text, 20) * 10 + digitAt(text, 22) : 0
  if (length === 24 && text[19] !== '.') return undefined
  const [year, month, day] = [100 * digitsAt(text, 0) + digitsAt(text, 2), digitsAt(text, 5), digitsAt(text, 8)]
  const [hour, minute, second] = [digitsAt(text, 11), digitsAt(text, 14), digitsAt(text, 17)]
  const isWhole = year + month + day + hour + minute + second + milliseconds >= 0
  if (!isWhole || year < 1970 || month < 1 || month > 12 || day < 1 || day > 28) return undefined
  if (hour > 23 || minute > 59 || second > 59) return undefined
  return Date.UTC(year, month - 1, day, hour, minute, second, milliseconds)
}

/** The number of two digits; NaN where they are none. */
function digitsAt(text: string, at: number): number {
  return 10 * digitAt(text, at) + digitAt(text, at + 1)
}

function digitAt(text: string, at: number): number {
  const digit = text.charCodeAt(at) - 48
  return digit >= 0 && digit <= 9 ? digit : Number.NaN
}

function fromNumber(raw: number): number {
  if (raw >= firstMillisecond && raw < 1e13) return raw
  if (!(raw >= 0) || !Number.isFinite(raw)) return Number.NaN
  if (raw < firstMillisecond) return fromDigits(raw, 1e7) ?? Math.round(raw * 1000)
  if (raw < firstMicrosecond) return fromDigits(raw, 1e13) ?? raw
  return Math.round(raw < firstNanosecond ? raw / 1e3 : raw / 1e6)
}

/** A number such as 20240131 (of 8 digits) or 20240131235959 (of 14) is a date, not a moment in 1970 or 2611. */
function fromDigits(raw: number, least: number): number | undefined {
  if (!(raw >= least && raw < 10 * least) || !Number.isInteger(raw)) return undefined
  const date = least === 1e7 ? raw : Math.floor(raw / 1e6)
  const clock = least === 1e7 ? 0 : raw % 1e6
  const year = Math.floor(date / 1e4)
  if (year < 1970 || year > 2100) return undefined
  const two = (digits: number, place: number) => Math.floor(digits / place) % 100
  const time = fromParts(
    year,
    two(date, 100),
    date % 100,
    two(clock, 1e4),
    two(clock, 100),
    clock % 100,
    undefined,
    undefined,
  )
  return Number.isNaN(time) ? undefined : time
}

/** NaN for what no calendar or clock has. Second 60, which the clock has now and then, is the next minute's first. */
function fromParts(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
  fraction: string | undefined,
  zone: string | undefined,
): number {
  if (year < 100 || month < 1 || month > 12 || day < 1 || day > daysOf(year, month)) return Number.NaN
  if (minute > 59 || second > 60 || hour > 24 || (hour === 24 && (minute > 0 || second > 0))) return Number.NaN
  const milliseconds = fraction === undefined ? 0 : Number(fraction.slice(0, 3).padEnd(3, '0'))
  return Date.UTC(year, month - 1, day, hour, minute, second, milliseconds) - offsetOf(zone)
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** In ms; NaN for what is no offset. */
function offsetOf(zone: string | undefined): number {
  const sign = zone?.charCodeAt(0)
  if (sign !== 43 && sign !== 45) return 0
  const hours = Number(zone!.slice(1, 3))
  const minutes = Number(zone!.slice(zone!.length > 3 ? -2 : 3))
  if (hours > 23 || minutes > 59) return Number.NaN
  return (sign === 43 ? 1 : -1) * (hours * 60 + minutes) * 60_000
}
