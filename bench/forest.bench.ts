import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Forest, fitForest, scoreRows } from '../workloads/detection/isolation-forest.ts'
import { random } from '../workloads/detection/random.ts'
import { spread } from './spread.ts'

/** Time of scoring rows with an isolation forest, against the same walk of the same trees in C (forest.c, gcc -O3). */

const compiler = 'gcc'
const rounds = 11
const passes = 10
const columns = 8
const sample = 4096
/** A multiple of the block in forest.c. */
const rows = 20_480

const chance = random('forest.bench')
const matrix = Float64Array.from(
  { length: rows * columns },
  () => Math.sqrt(-2 * Math.log(1 - chance.next())) * Math.cos(2 * Math.PI * chance.next()),
)

function fitRound(seed: number): { forest: Forest; milliseconds: number } {
  const start = process.hrtime.bigint()
  const forest = fitForest(matrix, sample, columns, { trees: 100, sampleSize: 256, random: random(seed) })
  return { forest, milliseconds: Number(process.hrtime.bigint() - start) / 1e6 }
}

/** Microseconds a row. */
function scoreRound(forest: Forest, scores: Float64Array): number {
  const start = process.hrtime.bigint()
  for (let pass = 0; pass < passes; pass++) scoreRows(forest, matrix, rows, columns, scores)
  return Number(process.hrtime.bigint() - start) / 1000 / (passes * rows)
}

/** The trees and rows as forest.c reads them. Every row has all values, so that the side of missing ones is left out. */
function exported({ count, height, expectedPath, thresholds, leaves, slots }: Forest): Buffer {
  const parts = [
    Int32Array.of(count, height, columns, rows),
    Float64Array.of(expectedPath),
    ...[thresholds, leaves, matrix],
    slots.map((slot) => slot >> 1),
  ]
  return Buffer.concat(parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength)))
}

function measure(): object {
  const fits = Array.from({ length: 40 }, (_, seed) => fitRound(seed))
  const { forest } = fits[0]!
  const scores = new Float64Array(rows)
  scoreRound(forest, scores)
  const own = {
    bench: 'forest',
    fitMilliseconds: spread(fits.slice(-20).map(({ milliseconds }) => milliseconds)),
  }
  if (spawnSync(compiler, ['--version']).error !== undefined) {
    const times = Array.from({ length: rounds }, () => scoreRound(forest, scores))
    return { ...own, microsecondsPerRow: spread(times), ratio: 'skipped: no gcc' }
  }

  const scratch = mkdtempSync(join(tmpdir(), 'forest-'))
  try {
    const [program, input, output] = ['forest', 'input', 'output'].map((name) => join(scratch, name)) as [
      string,
      string,
      string,
    ]
    execFileSync(compiler, ['-O3', '-o', program, join(import.meta.dirname, 'forest.c'), '-lm'])
    writeFileSync(input, exported(forest))
    const times = Array.from({ length: rounds }, () => {
      const c = Number(execFileSync(program, [input, output, String(passes)], { encoding: 'utf8' }))
      return { own: scoreRound(forest, scores), c: c / 1000 / (passes * rows) }
    })
    const bytes = readFileSync(output)
    const ofC = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
    const maxDifference = scores.reduce((max, score, row) => Math.max(max, Math.abs(score - ofC[row]!)), 0)
    if (!(maxDifference <= 1e-12)) throw new Error(`Cannot use this run: scores differ from C's by ${maxDifference}`)
    return {
      ...own,
      microsecondsPerRow: spread(times.map((time) => time.own)),
      rowsPerSecond: Math.round(1e6 / spread(times.map((time) => time.own)).median!),
      baseline: 'the same walk in C, gcc -O3',
      baselineMicrosecondsPerRow: spread(times.map((time) => time.c)),
      maxDifference,
      ratio: spread(times.map((time) => time.c / time.own)),
    }
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

console.log(JSON.stringify(measure()))
