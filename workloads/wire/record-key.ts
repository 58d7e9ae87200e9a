import { isUtf8 } from 'node:buffer'

/** What the text of a key begins with that is made of bytes. */
const prefix = 'hex:'
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what tells numbers from text
const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/

/**
 * The key of a record as text: text as it is, and bytes that are none (numbers, UUIDs) as `hex:` and their digits. Keys of
 * different bytes have different texts.
 */
export function recordKeyText(key: Buffer | string | null): string | undefined {
  if (key === null) return undefined
  if (typeof key === 'string') return isPlain(key) && key.isWellFormed() ? key : hexOf(Buffer.from(key))
  if (!isUtf8(key)) return hexOf(key)
  const text = key.toString()
  return isPlain(text) ? text : hexOf(key)
}

function isPlain(text: string): boolean {
  return !text.startsWith(prefix) && !control.test(text)
}

function hexOf(bytes: Buffer): string {
  return `${prefix}${bytes.toString('hex')}`
}
