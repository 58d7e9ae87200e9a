import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { random } from '../../workloads/detection/random.ts'
import { type TemporaryFolder, temporaryFolder } from '../../workloads/files/temporary-folder.ts'
import { createGrpcScorer } from '../../workloads/scoring/grpc.ts'
import { eventually } from '../harness/eventually.ts'
import { serve } from './inference/serve.ts'

const root = join(import.meta.dirname, '../..')
const models = join(root, 'test/fixtures/onnx')
const columns = ['value', 'amount', 'distance']
const onnx = { from: { file: join(models, 'forest.onnx') }, inputs: columns, output: 'scores', anomalous: 'Lower' }

/** Rows as those that the forest was made of. */
function rowsOf(count: number): readonly (readonly [number, number, number])[] {
  const chance = random('onnx')
  const normal = () => Math.sqrt(-2 * Math.log(1 - chance.next())) * Math.cos(2 * Math.PI * chance.next())
  return Array.from({ length: count }, () => {
    const value = 10 + 2 * normal()
    return [value, -30 * Math.log(1 - chance.next()), normal() + value / 2]
  })
}

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('A pipeline with a model in ONNX', () => {
  let files: TemporaryFolder
  before(() => {
    files = temporaryFolder()
  })
  after(() => files?.remove())

  function backtestArguments(options: object, rows = 2000) {
    const events = rowsOf(rows).map(([value, amount, distance], i) =>
      JSON.stringify({
        ...{ eventId: `e${i}`, userId: `u${i % 20}`, timestamp: 1_700_000_000 + i, value },
        features: i === rows - 1 ? { amount: 2000, distance: 300 } : { amount, distance },
      }),
    )
    const pipeline = {
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'own-model' },
      spec: { source: { brokers: ['localhost:9092'] }, detection: { detectors: [{ name: 'mine', onnx: options }] } },
    }
    const input = files.write('events.jsonl', `${events.join('\n')}\n`)
    const output = join(files.path, 'verdicts.jsonl')
    const file = files.write('pipeline.yaml', JSON.stringify(pipeline))
    return { output, args: ['backtest', '-f', file, '--input', input, '--output', output] }
  }
  const anomaly = (args: readonly string[], node: readonly string[] = []) =>
    promisify(execFile)(process.execPath, [...node, join(root, 'bin/anomaly.ts'), ...args]).then(
      ({ stderr }) => ({ code: 0, stderr }),
      ({ code, stderr }: { code: number; stderr: string }) => ({ code, stderr }),
    )

  it('judges past events with it, and explains what is strange to it', async () => {
    const { args, output } = backtestArguments({ ...onnx, timeoutMs: 10_000 })
    expect((await anomaly(args)).code).to.equal(0)
    const verdicts = readFileSync(output, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const last = verdicts.at(-1)!
    expect(last.modelVersion).to.match(/^onnx-1024-[0-9a-f]{8}$/)
    expect(last.scores.mine).to.be.above(0.99)
    expect(last.reasons.map(({ feature }: { feature: string }) => feature)).to.include('distance')
    const rare = verdicts.slice(-1000).filter(({ scores }) => scores.mine >= 0.95).length / 1000
    expect(rare).to.be.within(0.02, 0.09)
    expect(verdicts.some(({ degraded }) => degraded !== undefined)).to.equal(false)
  })

  it('says in one line what is wrong with the model, and exits with 2', async () => {
    for (const [options, words] of [
      [{ ...onnx, inputs: ['value'] }, 'Detector mine: the input X takes 3 columns, and the pipeline names 1: value'],
      [
        { ...onnx, from: { configMap: { name: 'models', key: 'a.onnx' } } },
        '/etc/anomaly/onnx/mine/a.onnx cannot be read',
      ],
    ] as const) {
      const { code, stderr } = await anomaly(backtestArguments(options, 20).args)
      expect(stderr.trim().split('\n')).to.have.length(1)
      expect(stderr).to.include(words)
      expect(code).to.equal(2)
    }
  })

  it('says which package is missing, and how to install it', async () => {
    const deny = `import { registerHooks } from 'node:module'
      registerHooks({ resolve(name, context, next) {
        if (name === 'onnxruntime-node') throw new Error('not found')
        return next(name, context)
      } })`
    const { args } = backtestArguments(onnx, 20)
    const { code, stderr } = await anomaly(args, ['--import', `data:text/javascript,${encodeURIComponent(deny)}`])
    expect(stderr).to.equal(
      'anomaly: Detector mine: ONNX models need a package that is not installed: npm install --no-save --ignore-scripts onnxruntime-node@1.30.0\n',
    )
    expect(code).to.equal(2)
    expect(stderr).to.include(
      JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).peerDependencies['onnxruntime-node'],
    )
  })

  it('serves it beside a forest, and goes on with the forest where it is too slow', async () => {
    const slow = { from: { file: join(models, 'slow.onnx') }, inputs: columns, timeoutMs: 1 }
    const forest = { name: 'forest', isolationForest: {} }
    const served = await serve({ detection: { detectors: [forest, { name: 'mine', onnx: slow }] } })
    const scorer = createGrpcScorer({ address: served.address })
    try {
      const rows = Float64Array.from(rowsOf(600).flat())
      const score = () => scorer.score({ columns, rows, count: 600, explainFrom: 9 })
      await score()
      await eventually(async () => expect((await served.status()).modelVersion).to.match(/^forest-600-.*\+onnx-600-/))
      const { surprisals } = await score()
      expect(surprisals[0]!.every(Number.isFinite)).to.equal(true)
      expect(surprisals[1]!.every(Number.isNaN)).to.equal(true)
      expect((await served.status()).modelProblems).to.have.property('onnx', 'model mine did not answer within 1 ms')
      expect((await served.probe('/readyz')).status).to.equal(200)
      expect((await served.probe('/metrics')).text).to.include('anomaly_onnx_answers{detector="mine"} 0')
    } finally {
      scorer.stop()
      await served.stop()
    }
  })
})
