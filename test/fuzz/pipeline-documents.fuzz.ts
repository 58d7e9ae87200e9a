import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Fuzz } from './fuzz.ts'

const folder = join(import.meta.dirname, '../../manifests/pipelines')
const samples = readdirSync(folder)
  .filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml')
  .map((name) => readFileSync(join(folder, name), 'utf8'))
const path = join(tmpdir(), `anomaly-fuzz-${process.pid}.yaml`)
process.once('exit', () => rmSync(path, { force: true }))

const lines = [
  '  event: {envelope: Debezium}',
  '  event: {key: $key, value: "", features: ""}',
  '  detection: {threshold: "0.99"}',
  '  source: {brokers: ["[::1]:9092"]}',
  '  a: &a [*a]',
  '  <<: {x: 1}',
  '---',
  '\t',
  '  source: null',
  '  event: {id: __proto__}',
]

/** A damaged document is a pipeline or refused in words, and a pipeline that was read is one when it is read again. */
export const fuzz: Fuzz = {
  name: 'pipeline-documents',
  async tryOne(chance) {
    const rows = chance.pick(...samples).split('\n')
    for (let n = chance.int(4); n > 0; n--)
      rows.splice(chance.int(rows.length), chance.int(2), chance.pick(...lines, chance.pick(...rows)))
    const text = rows.join('\n')
    writeFileSync(path, chance.happens(0.6) ? chance.damaged(Buffer.from(text)) : text)
    try {
      const pipeline = await loadPipeline(path)
      expect(parsePipeline(JSON.parse(JSON.stringify(pipeline)))).to.deep.equal(pipeline)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      for (const line of error.message.split('\n')) expect(line.length, line).to.be.within(1, 3000)
    }
  },
}
