import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import type { InputRecord } from '../../workloads/files/input-record.ts'
import { readEvents } from '../../workloads/files/read-events.ts'
import type { Chance, Fuzz } from './fuzz.ts'

const path = join(tmpdir(), `anomaly-fuzz-${process.pid}.csv`)
process.once('exit', () => rmSync(path, { force: true }))

async function read(bytes: Buffer, delimiter?: string): Promise<readonly InputRecord[]> {
  writeFileSync(path, bytes)
  const records: InputRecord[] = []
  const file = { path, source: 'fuzz.csv', format: 'csv', size: bytes.length } as const
  for await (const part of readEvents([file], { delimiter })) records.push(...part)
  return records
}

function written(cell: string, delimiter: string, chance: Chance): string {
  const isQuoted =
    chance.happens(0.2) || cell !== cell.trim() || cell.includes(delimiter) || /["\n\r#\ufeff]/.test(cell)
  const text = isQuoted ? `"${cell.replaceAll('"', '""')}"` : cell
  return chance.happens(0.1) ? ` ${text} ` : text
}

function encoded(text: string, chance: Chance): Buffer {
  const bytes = chance.pick(
    () => Buffer.from(text),
    () => Buffer.from(`\ufeff${text}`),
    () => Buffer.from(`\ufeff${text}`, 'utf16le'),
    () => Buffer.from(`\ufeff${text}`, 'utf16le').swap16(),
  )
  return bytes()
}

/** A table is read as it was written, whatever the dialect; other bytes give rows, rejections or one line of words. */
export const fuzz: Fuzz = {
  name: 'csv',
  async tryOne(chance) {
    const delimiter = chance.pick(',', ';', '\t', '|')
    const columns = Array.from({ length: 2 + chance.int(5) }, (_, i) => `c${i}${chance.text(chance.int(4), 'ab ü.x')}z`)
    const rows = Array.from({ length: chance.int(8) }, () =>
      columns.map((_, c) => (c === 0 ? 'k' : '') + chance.text(chance.int(7), 'ab1,;|"\t é\n.-')),
    )
    const end = chance.pick('\n', '\r\n')
    const lines = [columns, ...rows].map((row) => row.map((cell) => written(cell, delimiter, chance)).join(delimiter))
    const before = chance.pick('', '', `sep=${delimiter}${end}`, `${end}${end}`, `# a comment${end}`)
    const bytes = encoded(`${before}${lines.join(end)}${chance.pick('', end)}`, chance)
    const body = (row: readonly string[]) => Object.fromEntries(columns.map((name, c) => [name.trim(), row[c]!]))
    const found = await read(bytes, chance.happens(0.5) ? delimiter : undefined)
    const message = JSON.stringify(bytes.toString())
    expect(
      found.map((record) => record.body ?? record.rejection),
      message,
    ).to.deep.equal(rows.map(body))

    try {
      for (const { rejection } of await read(chance.damaged(bytes)))
        expect((rejection?.message ?? '').length).to.be.below(300)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      expect(error.message, message).to.match(/^[^\n]{1,2000}$/)
    }
  },
}
