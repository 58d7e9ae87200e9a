import { hash } from 'node:crypto'
import { withWrittenNumbers } from '../wire/json-body.ts'
import type { EventBody } from './door.ts'

/** Deeper objects are compared as they are written. */
const deepest = 100

/**
 * Tells bodies apart that come under one id, by what they mean: neither spaces nor the order of fields count, nor how a
 * number is written, but every digit of an integer that a double cannot hold.
 */
export function fingerprintOf({ text, value }: EventBody): string {
  const meaning = new Meaning({ isExact: false })
  if (meaning.add(value, 0)) return digestOf(meaning.text)
  const exact = new Meaning({ isExact: true })
  return digestOf(exact.add(withWrittenNumbers(value, text), 0) ? exact.text : text)
}

/** The fingerprint by the text, which an earlier release stored. */
export function formerFingerprintOf(text: string | Buffer): string {
  return digestOf(text)
}

function digestOf(text: string | Buffer): string {
  return hash('sha256', text, 'base64url').slice(0, 22)
}

/** A value as text: fields sorted, each text after its length, so that nothing needs to be escaped. */
class Meaning {
  text = ''
  /** Its numbers are as they were written. */
  readonly #isExact: boolean

  constructor({ isExact }: { readonly isExact: boolean }) {
    this.#isExact = isExact
  }

  /** False: it nests too deep, or a number may be another than the one that was written. */
  add(value: unknown, depth: number): boolean {
    if (typeof value === 'string') this.#addText(value)
    else if (typeof value === 'number') {
      if (!this.#isExact && Number.isInteger(value) && !Number.isSafeInteger(value)) return false
      this.text += `#${value}`
    } else if (typeof value !== 'object' || value === null) this.text += value
    else if (depth === deepest) return false
    else if (Array.isArray(value)) return this.#addList(value, depth + 1)
    else return this.#addFields(value as Record<string, unknown>, depth + 1)
    return true
  }

  #addText(text: string): void {
    this.text += `${text.length}:${text}`
  }

  #addList(list: readonly unknown[], depth: number): boolean {
    this.text += `[${list.length}`
    for (const element of list) {
      this.text += ','
      if (!this.add(element, depth)) return false
    }
    return true
  }

  #addFields(fields: Record<string, unknown>, depth: number): boolean {
    const names = sorted(Object.keys(fields))
    this.text += `{${names.length}`
    for (let i = 0; i < names.length; i++) {
      this.#addText(names[i]!)
      if (!this.add(fields[names[i]!], depth)) return false
    }
    return true
  }
}

/** Sorts in place; few names, as most objects have, faster than the runtime does. */
function sorted(names: string[]): readonly string[] {
  if (names.length > 20) return names.sort()
  for (let i = 1; i < names.length; i++) {
    const name = names[i]!
    let to = i
    for (; to > 0 && names[to - 1]! > name; to--) names[to] = names[to - 1]!
    names[to] = name
  }
  return names
}
