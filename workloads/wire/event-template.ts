import { resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { EventMapping } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import type { FeatureSchema } from '../detection/feature-schema.ts'
import { maxIdLength, type Origin } from './decode.ts'
import { type FeatureOptions, featureNames } from './event-fields.ts'
import { timeOf } from './event-time.ts'
import { ascii } from './json-bytes.ts'

/** What the value at a place of the template is; from 0 on the feature of that index. */
const ignored = -1
const id = -2
const key = -3
const time = -4
const value = -5
/** Category c is this less c. */
const firstText = -6

/** Bytes between two values, then what the value is. */
interface Place {
  readonly before: Uint8Array
  readonly role: number
}

/** After so many events in a row that the template does not fit, another one takes its place. */
const trial = 16
/** Where templates fit nothing but the event that they are of, the next is made after twice as many events, up to so many. */
const longestPause = 4096
/** Whole numbers up to 10^15 and powers of ten up to 10^22 are exact doubles: their quotient is the nearest to the decimal. */
const mostDigits = 15
const powersOfTen = Float64Array.from({ length: mostDigits + 1 }, (_, power) => Number(`1e${power}`))

const quote = 34
const plus = 43
const minus = 45
const point = 46
const zero = 48
const backslash = 92
const tilde = 126
const words = { true: ascii('true'), false: ascii('false'), null: ascii('null') } as const

/**
 * Reads events straight from the bytes of their JSON where they look like the one before: the same fields in the same
 * order, with other numbers and texts. Whatever is unusual it leaves to JSON.parse and `decode`, whose events its own equal.
 */
export class EventTemplate {
  readonly #mapping: EventMapping
  readonly #schema: FeatureSchema
  readonly #bagName: string | undefined
  readonly #isFeature: (name: string) => boolean
  readonly #isAble: boolean
  readonly #hasFeatures: boolean
  /** Names of categories, then of secondary keys. */
  readonly #texts: readonly string[]
  #places: readonly Place[] = []
  /** Names that the schema had forgotten when the template was laid out. */
  #forgotten = 0
  #end: Uint8Array = new Uint8Array(0)
  #hasBag = false
  /** Events until the template is looked at again. */
  #wait = 1
  #pause = trial
  #isFruitful = false
  /** Where reading stands; -1 when something is unusual. */
  #at = 0

  constructor(mapping: EventMapping, schema: FeatureSchema, options: FeatureOptions = {}) {
    this.#mapping = mapping
    this.#schema = schema
    const features = resolveFeatures(mapping)
    this.#bagName = features.type === 'object' ? features.field : undefined
    this.#hasFeatures = features.type === 'fields'
    this.#isFeature = featureNames(mapping, options)
    this.#texts = [...(mapping.categories ?? []), ...(mapping.secondaryKeys ?? [])]
    const names = [mapping.id, mapping.time, mapping.key, mapping.value, this.#bagName ?? '', ...this.#texts]
    this.#isAble =
      mapping.envelope === undefined && !names.some((name) => name.includes('.') || name in Object.prototype)
  }

  /** The event in `bytes`; undefined where it does not fit the template. */
  read(bytes: Buffer, origin: Origin): Event | undefined {
    const places = this.#places
    if (places.length === 0) return undefined
    if (this.#forgotten !== this.#schema.forgotten) {
      this.#places = []
      return undefined
    }
    const { latest } = origin
    const mapping = this.#mapping
    const size = this.#schema.size
    const features: number[] = this.#hasBag ? new Array(size) : []
    if (this.#hasBag) for (let i = 0; i < size; i++) features[i] = Number.NaN
    let ownId: string | undefined
    let ownKey: string | undefined
    let ownTime = Number.NaN
    let ownValue = Number.NaN
    const texts = this.#texts.map(() => '')
    this.#at = 0
    for (let p = 0; p < places.length; p++) {
      const { before, role } = places[p]!
      if (!this.#skip(bytes, before)) return undefined
      if (role >= 0) features[role] = this.#number(bytes)
      else if (role === ignored) this.#scalar(bytes)
      else if (role === id) ownId = this.#identity(bytes)
      else if (role === key) ownKey = this.#identity(bytes)
      else if (role === time) {
        ownTime = this.#time(bytes)
        if (!(ownTime <= latest)) return undefined
      } else if (role === value) ownValue = this.#number(bytes)
      else texts[firstText - role] = this.#identity(bytes) ?? ''
      if (this.#at < 0) return undefined
    }
    if (!this.#skip(bytes, this.#end) || this.#at !== bytes.length) return undefined
    if (ownKey === undefined) {
      if (mapping.key === '') ownKey = ''
      else if (mapping.key === '$source') ownKey = origin.source
      else if (mapping.key === '$key') ownKey = origin.recordKey
      if (ownKey === undefined || (ownKey === '' && mapping.key !== '') || ownKey.length > maxIdLength) return undefined
    }
    this.#wait = trial
    this.#pause = trial
    this.#isFruitful = true
    const eventId = ownId ?? origin.id
    const eventTime = Number.isNaN(ownTime) ? origin.arrival : ownTime
    // Each usual shape its own: a spread would cost every event.
    if (texts.length === 0) return { id: eventId, time: eventTime, key: ownKey, value: ownValue, features }
    const { categories, secondaryKeys } = mapping
    if (secondaryKeys === undefined)
      return { id: eventId, time: eventTime, key: ownKey, value: ownValue, features, categories: texts }
    if (categories === undefined)
      return { id: eventId, time: eventTime, key: ownKey, value: ownValue, features, secondaryKeys: texts }
    const own = { categories: texts.splice(0, categories.length), secondaryKeys: texts }
    return { id: eventId, time: eventTime, key: ownKey, value: ownValue, features, ...own }
  }

  /** To be told of an event that did not fit and was read otherwise: it may become the template. */
  learn(bytes: Buffer): void {
    if (!this.#isAble || --this.#wait > 0) return
    const isInVain = this.#places.length > 0 && !this.#isFruitful
    this.#places = []
    if (isInVain) {
      this.#pause = Math.min(2 * this.#pause, longestPause)
      this.#wait = this.#pause
      return
    }
    this.#wait = trial
    this.#isFruitful = false
    const places: Place[] = []
    this.#hasBag = this.#hasFeatures
    this.#at = 0
    const end = this.#object(bytes, places, 0, false)
    this.#space(bytes)
    if (end < 0 || this.#at !== bytes.length) return
    this.#end = Uint8Array.from(bytes.subarray(end))
    this.#places = places
    this.#forgotten = this.#schema.forgotten
  }

  /** Lays the places of an object out; gives the end of the last value, or -1 where the object cannot be a template. */
  #object(bytes: Buffer, places: Place[], start: number, isBag: boolean): number {
    const names = new Set<string>()
    let from = start
    this.#space(bytes)
    if (bytes[this.#at++] !== 123) return -1
    for (;;) {
      this.#space(bytes)
      const name = this.#text(bytes)
      this.#space(bytes)
      if (name === undefined || names.has(name) || name === '__proto__' || bytes[this.#at++] !== 58) return -1
      names.add(name)
      this.#space(bytes)
      if (!isBag && name === this.#bagName) {
        this.#hasBag = true
        from = this.#object(bytes, places, from, true)
        if (from < 0) return -1
      } else {
        const role = isBag ? this.#roleInBag(name) : this.#roleOf(name)
        if (role === undefined) return -1
        places.push({ before: Uint8Array.from(bytes.subarray(from, this.#at)), role })
        if (role >= 0 || role === value) this.#number(bytes)
        else if (role === time) this.#time(bytes)
        else if (role === ignored) this.#scalar(bytes)
        else this.#identity(bytes)
        if (this.#at < 0) return -1
        from = this.#at
      }
      this.#space(bytes)
      const next = bytes[this.#at++]
      if (next === 125) return from
      if (next !== 44) return -1
    }
  }

  #roleInBag(name: string): number | undefined {
    return this.#isFeature(name) ? this.#schema.indexOf(name) : ignored
  }

  /** undefined where the value is needed for more than one thing. */
  #roleOf(name: string): number | undefined {
    const mapping = this.#mapping
    const roles: (number | undefined)[] = []
    if (name !== '') {
      if (name === mapping.id) roles.push(id)
      if (name === mapping.key && !name.startsWith('$')) roles.push(key)
      if (name === mapping.time) roles.push(time)
      if (name === mapping.value) roles.push(value)
      for (const [t, text] of this.#texts.entries()) if (name === text) roles.push(firstText - t)
    }
    if (this.#hasFeatures && this.#isFeature(name)) roles.push(this.#schema.indexOf(name))
    return roles.length === 0 ? ignored : roles.length === 1 ? roles[0] : undefined
  }

  #skip(bytes: Buffer, expected: Uint8Array): boolean {
    const from = this.#at
    for (let i = 0; i < expected.length; i++) if (bytes[from + i] !== expected[i]) return false
    this.#at = from + expected.length
    return true
  }

  #space(bytes: Buffer): void {
    let at = this.#at
    while (bytes[at] === 32 || bytes[at] === 10 || bytes[at] === 13 || bytes[at] === 9) at++
    this.#at = at
  }

  /** Plain text of 1 to 256 characters. */
  #text(bytes: Buffer): string | undefined {
    const from = this.#at + 1
    this.#string(bytes)
    const to = this.#at - 1
    if (to > from && to - from <= maxIdLength) return bytes.toString('latin1', from, to)
    this.#at = -1
    return undefined
  }

  /** Text, or a whole number as it is written, which may be more than a double can hold. */
  #identity(bytes: Buffer): string | undefined {
    const from = this.#at
    if (bytes[from] === quote) return this.#text(bytes)
    let at = bytes[from] === minus ? from + 1 : from
    const first = at
    while (bytes[at]! >= zero && bytes[at]! <= zero + 9) at++
    const next = bytes[at]
    const isWhole = next !== point && next !== 101 && next !== 69
    // 0 is written in two ways.
    if (isWhole && at > first && at - from <= maxIdLength && (bytes[first] !== zero || at === from + 1)) {
      this.#at = at
      return bytes.toString('latin1', from, at)
    }
    this.#at = -1
    return undefined
  }

  /** Milliseconds since 1970; NaN for what is no time. */
  #time(bytes: Buffer): number {
    return timeOf(bytes[this.#at] === quote ? this.#text(bytes) : this.#number(bytes))
  }

  #scalar(bytes: Buffer): void {
    const first = bytes[this.#at]
    if (first === quote) this.#string(bytes)
    else if (first === 116) this.#word(bytes, words.true)
    else if (first === 102) this.#word(bytes, words.false)
    else if (first === 110) this.#word(bytes, words.null)
    else this.#number(bytes)
  }

  #word(bytes: Buffer, word: Uint8Array): void {
    if (!this.#skip(bytes, word)) this.#at = -1
  }

  /** A string without escapes, all of it ASCII. */
  #string(bytes: Buffer): void {
    let at = this.#at
    if (bytes[at] === quote) {
      for (at++; ; at++) {
        const unit = bytes[at]!
        if (unit === quote) {
          this.#at = at + 1
          return
        }
        if (!(unit >= 32 && unit <= tilde) || unit === backslash) break
      }
    }
    this.#at = -1
  }

  /** A finite number. */
  #number(bytes: Buffer): number {
    const from = this.#at
    let at = from
    const isNegative = bytes[at] === minus
    if (isNegative) at++
    const first = at
    let whole = 0
    let digit = bytes[at]! - zero
    while (digit >= 0 && digit <= 9) {
      whole = 10 * whole + digit
      digit = bytes[++at]! - zero
    }
    let digits = at - first
    if (digits === 0 || (digits > 1 && bytes[first] === zero)) {
      this.#at = -1
      return Number.NaN
    }
    let decimals = 0
    if (bytes[at] === point) {
      const start = ++at
      digit = bytes[at]! - zero
      while (digit >= 0 && digit <= 9) {
        whole = 10 * whole + digit
        digit = bytes[++at]! - zero
      }
      decimals = at - start
      digits += decimals
      if (decimals === 0) {
        this.#at = -1
        return Number.NaN
      }
    }
    if (digits > mostDigits || bytes[at] === 101 || bytes[at] === 69) return this.#longNumber(bytes, from, at)
    this.#at = at
    const size = decimals === 0 ? whole : whole / powersOfTen[decimals]!
    return isNegative ? -size : size
  }

  /** One of many digits or with an exponent; `at` is where that would begin. */
  #longNumber(bytes: Buffer, from: number, at: number): number {
    let end = at
    if (bytes[end] === 101 || bytes[end] === 69) {
      end++
      if (bytes[end] === plus || bytes[end] === minus) end++
      const start = end
      while (bytes[end]! >= zero && bytes[end]! <= zero + 9) end++
      if (end === start) {
        this.#at = -1
        return Number.NaN
      }
    }
    const number = Number(bytes.toString('latin1', from, end))
    this.#at = Number.isFinite(number) ? end : -1
    return number
  }
}
