import { isUtf8 } from 'node:buffer'
import { messageOf } from '../../lib/errors.ts'
import type { Rejection } from './rejection.ts'

/** The value of a body and the JSON that it comes from, if it does; or why it has none. */
export type ParsedBody = { readonly value: unknown; readonly json?: Buffer | string } | Rejection

/** Reads a body: JSON in UTF-8, with or without a byte order mark. */
export function parseBody(body: Buffer | string | null): ParsedBody {
  if (body === null) return { reason: 'Tombstone', message: 'the record has no value' }
  if (typeof body !== 'string') {
    if (body[0] === 0 && body.length > 5) return framed(body)
    if (!isUtf8(body)) return notUtf8(body)
  }
  try {
    const json = textOf(body)
    return { value: JSON.parse(json), json }
  } catch (error) {
    return { reason: 'MalformedJson', message: messageOf(error) }
  }
}

/**
 * A number of a body as it is written, where a double cannot hold it: as an id or key it means that.
 *
 * @param rounded the double that JSON.parse makes of it
 * @param read finds the number in the parsed body; asked where the body has several that are rounded alike
 * @param name of its field, where it is known: it is looked for there first
 */
export function writtenNumber(
  rounded: number,
  body: Buffer | string,
  read: (body: unknown) => unknown,
  name?: string,
): string {
  const json = textOf(body)
  const named = name === undefined ? undefined : numberNamed(name, json)
  if (named !== undefined && Number(named) === rounded && sixteenDigits.test(named)) return named
  let written: string | undefined
  longRun.lastIndex = 0
  for (let run = longRun.exec(json); run !== null; run = longRun.exec(json)) {
    const { number, end } = numberAt(json, run.index)
    longRun.lastIndex = end
    if (number === written || Number(number) !== rounded) continue
    if (written !== undefined) return String(read(JSON.parse(quoteLongNumbers(json))))
    written = number
  }
  return written ?? String(rounded)
}

/** A body with its numbers of 16 digits and more as they are written, as text; `value` is what JSON.parse makes of it. */
export function withWrittenNumbers(value: unknown, json: string): unknown {
  return sixteenDigits.test(json) ? JSON.parse(quoteLongNumbers(json)) : value
}

export function notUtf8(bytes: Buffer): Rejection {
  const text = bytes.toString('utf8')
  const at = Buffer.byteLength(text.slice(0, text.indexOf('\ufffd')))
  const byte = bytes[at]!.toString(16).padStart(2, '0')
  return {
    reason: 'NotUtf8',
    message: `the event is not UTF-8: byte ${at} is 0x${byte}; convert it, with iconv for example`,
  }
}

function framed(bytes: Buffer): Rejection {
  const id = bytes.readUInt32BE(1)
  return {
    reason: 'MalformedJson',
    message: `the event begins with a zero byte and schema id ${id}, the framing of Confluent's serializers: name the registry in source.schemaRegistry`,
  }
}

function textOf(body: Buffer | string): string {
  const text = typeof body === 'string' ? body : body.toString()
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}

const sixteenDigits = /\d{16}/
/** As a double holds 15 digits, two numbers of fewer are never rounded alike. */
const longRun = /\d{16}/g
const longNumber = /-?\d[\d.eE+-]{15,}/g

/** The number that the digit at a place is part of. */
function numberAt(json: string, at: number): { readonly number: string; readonly end: number } {
  let start = at
  while (start > 0 && isOfNumber(json.charCodeAt(start - 1))) start--
  const end = endOfNumber(json, at)
  return { number: json.slice(start, end), end }
}

function endOfNumber(json: string, at: number): number {
  let end = at + 1
  while (isOfNumber(json.charCodeAt(end))) end++
  return end
}

/** The number in the only field of the name, at whatever depth; undefined where there may be several or it is no number. */
function numberNamed(name: string, json: string): string | undefined {
  // Quotes are everywhere: a search that begins with one takes four times as long.
  const end = `${name}"`
  const at = json.indexOf(end)
  if (at < 1 || json.charCodeAt(at - 1) !== 34 || json.includes('\\')) return undefined
  let from = at + end.length
  if (json.indexOf(end, from) >= 0) return undefined
  while (isSpace(json.charCodeAt(from))) from++
  if (json.charCodeAt(from++) !== 58) return undefined
  while (isSpace(json.charCodeAt(from))) from++
  return isOfNumber(json.charCodeAt(from)) ? json.slice(from, endOfNumber(json, from)) : undefined
}

function isSpace(unit: number): boolean {
  return unit === 32 || unit === 10 || unit === 13 || unit === 9
}

/** 0-9, minus, plus, point, e, E. */
function isOfNumber(unit: number): boolean {
  return (unit >= 48 && unit <= 57) || unit === 45 || unit === 43 || unit === 46 || unit === 101 || unit === 69
}

/** The same JSON with numbers of 16 digits and more as text. The text must be JSON. */
function quoteLongNumbers(json: string): string {
  if (!sixteenDigits.test(json)) return json
  let quoted = ''
  let from = 0
  for (let at = 0; at < json.length; ) {
    const start = json.indexOf('"', at)
    const end = start < 0 ? json.length : start
    // Most of what stands between two strings is too short for such a number.
    if (end - at > 16) {
      quoted += json.slice(from, at) + json.slice(at, end).replaceAll(longNumber, quotedIfLong)
      from = end
    }
    at = start < 0 ? end : endOfString(json, start)
  }
  return quoted + json.slice(from)
}

function quotedIfLong(number: string): string {
  return sixteenDigits.test(number) ? `"${number}"` : number
}

/** Behind the string that begins at a quote. */
function endOfString(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let backslashes = 0
    while (json.charCodeAt(end - 1 - backslashes) === 92) backslashes++
    if (backslashes % 2 === 0) return end + 1
  }
}

const structure = /["[\]{},]/g

/** The texts of the elements of an array. The text must be JSON. */
export function elementsOf(array: string): readonly string[] {
  const elements: string[] = []
  let depth = 0
  let from = 0
  structure.lastIndex = 0
  for (let token = structure.exec(array); token !== null; token = structure.exec(array)) {
    const [sign] = token
    if (sign === '"') structure.lastIndex = endOfString(array, token.index)
    else if (sign === '[' || sign === '{') {
      if (++depth === 1) from = token.index + 1
    } else if (depth === 1 && (sign === ',' || sign === ']')) {
      const element = array.slice(from, token.index).trim()
      if (element !== '') elements.push(element)
      from = token.index + 1
      if (sign === ']') depth--
    } else if (sign !== ',') depth--
  }
  return elements
}
