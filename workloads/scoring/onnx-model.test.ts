import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { resolveDetectors } from '../../lib/pipeline/resolve-pipeline.ts'
import { temporaryFolder } from '../files/temporary-folder.ts'
import { modelMakers } from './model-makers.ts'
import { decodeModelSet, ModelSet } from './model-set.ts'
import { fitOnnx, readOnnx } from './onnx-model.ts'
import { type OnnxRunner, openOnnx } from './onnx-runner.ts'

const folder = join(import.meta.dirname, '../../test/fixtures/onnx')
interface Expected {
  readonly columns: readonly string[]
  readonly train: readonly (readonly number[])[]
  readonly rows: readonly (readonly number[])[]
  /** What scikit-learn and numpy say of the rows. */
  readonly forest: readonly number[]
  readonly reconstruction: readonly number[]
}
const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected
const { columns } = expected
const flat = (rows: readonly (readonly number[])[]) => Float64Array.from(rows.flat())
const rows = flat(expected.rows)
const count = expected.rows.length
const sample = { rows: flat(expected.train), columns, rowsSeen: 400, seed: 1 }

describe('A model in ONNX', () => {
  const opened: OnnxRunner[] = []
  afterEach(async () => {
    for (const runner of opened.splice(0)) await runner.close()
  })

  async function open(file: string, options: object = {}, onProblem?: (problem: string) => void) {
    const path = join(folder, file)
    const onnx = { from: { file: path }, inputs: [...columns], timeoutMs: 10_000, ...options }
    const [detector] = resolveDetectors({ detectors: [{ name: 'mine', onnx }] })
    if (detector?.type !== 'onnx') throw new Error('no detector')
    const runner = await openOnnx({ detector, path, onProblem })
    opened.push(runner)
    return runner
  }
  const refusalOf = (opening: Promise<unknown>) =>
    opening.then(
      () => 'opened',
      (error: unknown) => {
        expect(error).to.be.instanceOf(AppError)
        return (error as AppError).message
      },
    )
  const sklearn = { output: 'scores', anomalous: 'Lower' }

  it('scores as scikit-learn does with the model that it exported', async () => {
    const scores = (await open('forest.onnx', sklearn)).score(rows, count)
    for (const [row, score] of expected.forest.entries()) expect(scores[row]).to.be.closeTo(-score, 1e-6)
  })

  it('scores a reconstruction by its mean squared difference', async () => {
    const scores = (await open('reconstruction.onnx', { kind: 'Reconstruction' })).score(rows, count)
    for (const [row, score] of expected.reconstruction.entries())
      expect(scores[row]! / score).to.be.within(1 - 1e-4, 1 + 1e-4)
  })

  it('is calibrated on past rows, so that its scores are as rare as they say', async () => {
    const runner = await open('forest.onnx', sklearn)
    const model = fitOnnx(sample, runner)
    const surprisals = new Float64Array(400)
    model.score(sample.rows, 400, 3, surprisals)
    for (const rarity of [0.2, 0.1, 0.05]) {
      const rarer = surprisals.filter((surprisal) => surprisal >= -Math.log(rarity)).length / 400
      expect(rarer).to.be.closeTo(rarity, 0.02)
    }
    const ofRows = new Float64Array(count)
    model.score(rows, count, 3, ofRows)
    const order = (numbers: ArrayLike<number>) =>
      Array.from(numbers, (_, i) => i).sort((a, b) => numbers[a]! - numbers[b]!)
    expect(order(ofRows).slice(-4)).to.have.members(order(expected.forest.map((score) => -score)).slice(-4))
  })

  it('says by which inputs a row is strange, and takes a missing one for what is usual', async () => {
    const model = fitOnnx(sample, await open('reconstruction.onnx', { kind: 'Reconstruction' }))
    const odd = Float64Array.of(10, 900, 5)
    const surprisals = new Float64Array(2)
    model.score(Float64Array.of(...odd, 10, Number.NaN, 5), 2, 3, surprisals)
    expect(surprisals[0]).to.be.above(5)
    expect(surprisals[1]).to.be.below(2)
    const [first] = model.explain(odd, surprisals[0]!)
    expect(first).to.include({ column: 'amount', observed: 900 })
    expect(first!.contribution).to.be.above(0.5)
    expect(first!.expected).to.be.within(10, 40)
    expect(model.explain(odd, 0)).to.deep.equal([])
  })

  it('finds its inputs by name, whatever order the columns come in and whatever else there is', async () => {
    const runner = await open('forest.onnx', sklearn)
    const turned = (of: readonly (readonly number[])[]) => flat(of.map(([a, b, c]) => [c!, 7, a!, b!]))
    const other = fitOnnx(
      { ...sample, rows: turned(expected.train), columns: ['distance', 'x', 'value', 'amount'] },
      runner,
    )
    const [straight, wide] = [new Float64Array(count), new Float64Array(count)]
    fitOnnx(sample, runner).score(rows, count, 3, straight)
    other.score(turned(expected.rows), count, 4, wide)
    expect(wide).to.deep.equal(straight)
  })

  it('is kept with its calibration, and read for the same file only', async () => {
    const runner = await open('forest.onnx', sklearn)
    const set = new ModelSet([fitOnnx(sample, runner)])
    expect(set.version).to.match(/^onnx-400-[0-9a-f]{8}$/)
    const makers = modelMakers([runner.detector], [runner])
    const again = decodeModelSet(set.encode(), makers)
    expect(again.version).to.equal(set.version)
    const named = { columns, rows, count }
    expect(again.means(named)).to.deep.equal(set.means(named))
    const other = await open('reconstruction.onnx', { kind: 'Reconstruction' })
    expect(() => readOnnx(set.models[0]!.encode(), other)).to.throw(
      'it was calibrated for another file of detector mine',
    )
  })

  it('says nothing of rows for which it gives no finite number, and of none where it knew hardly any', async () => {
    const problems: string[] = []
    const runner = await open('logarithm.onnx', {}, (problem) => problems.push(problem))
    const positive = { ...sample, rows: sample.rows.map(Math.abs) }
    const model = fitOnnx(positive, runner)
    expect(runner.problem()).to.equal(undefined)
    const surprisals = new Float64Array(2)
    model.score(Float64Array.of(10, 30, 5, -10, 30, 5), 2, 3, surprisals)
    expect(surprisals[0]).to.be.at.least(0)
    expect(surprisals[1]).to.be.NaN
    expect(runner.problem()).to.equal('model mine gave no finite number for 1 rows')
    const mute = fitOnnx({ ...sample, rows: sample.rows.map((x) => -Math.abs(x)) }, runner)
    mute.score(rows, count, 3, new Float64Array(count))
    const ofMute = new Float64Array(1)
    mute.score(Float64Array.of(10, 30, 5), 1, 3, ofMute)
    expect(ofMute[0]).to.be.NaN
    expect(problems).to.deep.equal(['model mine gave no finite number for 1 rows'])
  })

  it('is ended when it takes too long, and the caller goes on without it', async () => {
    const problems: string[] = []
    const runner = await open('slow.onnx', { timeoutMs: 5 }, (problem) => problems.push(problem))
    const scores = runner.score(flat(Array.from({ length: 500 }, () => [1, 2, 3])), 500)
    expect(scores.every(Number.isNaN)).to.equal(true)
    expect(runner.problem()).to.equal('model mine did not answer within 5 ms')
    expect(runner.score(rows, count).every(Number.isNaN), 'while it is started again').to.equal(true)
    expect(problems).to.have.length(1)
  })

  it('is refused where it does not fit what the pipeline says of it', async () => {
    expect(await refusalOf(open('gone.onnx'))).to.match(/^Detector mine: the model .*gone.onnx cannot be read: ENOENT/)
    expect(await refusalOf(open('forest.onnx', { ...sklearn, inputs: ['value', 'amount'] }))).to.equal(
      'Detector mine: the input X takes 3 columns, and the pipeline names 2: value, amount',
    )
    expect(await refusalOf(open('forest.onnx', { output: 'score' }))).to.equal(
      'Detector mine: the model has no output score: label, scores',
    )
    expect(await refusalOf(open('forest.onnx', { output: 'label' }))).to.equal(
      'Detector mine: the output label gives int64: float32 or float64 is asked for',
    )
    expect(await refusalOf(open('forest.onnx', { ...sklearn, kind: 'Reconstruction' }))).to.equal(
      'Detector mine: the output scores gives 1 numbers a row: a reconstruction has 3, as the input',
    )
    expect(await refusalOf(open('reconstruction.onnx'))).to.equal(
      'Detector mine: the output reconstructed gives 3 numbers a row: a score is one',
    )
  })

  it('is refused where the file is damaged', async () => {
    const files = temporaryFolder()
    const damaged = files.write('damaged.onnx', readFileSync(join(folder, 'forest.onnx')).subarray(0, 5000))
    const [detector] = resolveDetectors({
      detectors: [{ name: 'mine', onnx: { from: { file: damaged }, inputs: [...columns] } }],
    })
    if (detector?.type !== 'onnx') throw new Error('no detector')
    expect(await refusalOf(openOnnx({ detector, path: damaged }))).to.match(
      /^Detector mine: the model cannot be loaded: .+$/,
    )
    files.remove()
  })
})
