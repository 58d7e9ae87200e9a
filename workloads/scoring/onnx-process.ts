import type { InferenceSession, Tensor } from 'onnxruntime-node'
import type { ResolvedOnnx } from '../../lib/pipeline/resolve-pipeline.ts'
import { type OnnxShape, shapeProblem } from './onnx-shape.ts'

/** What the process is told first. */
export interface OnnxStart {
  readonly model: Uint8Array
  readonly detector: ResolvedOnnx
}

/** Rows to score: row-major, a number an input. */
export interface OnnxRows {
  readonly rows: Float64Array
  readonly count: number
}

/** What it tells when it is ready, or why it cannot be; then an answer to each of the rows. */
export type OnnxAnswer = { readonly ready: true } | { readonly scores: Float64Array } | { readonly problem: string }

type Runtime = typeof import('onnxruntime-node')

const install = 'npm install --no-save --ignore-scripts onnxruntime-node@1.30.0'
const tell = (answer: OnnxAnswer): void => void process.send?.(answer)
const lineOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ').slice(0, 300)

async function start({ model, detector }: OnnxStart): Promise<void> {
  let runtime: Runtime
  try {
    runtime = await import('onnxruntime-node')
  } catch {
    return tell({ problem: `ONNX models need a package that is not installed: ${install}` })
  }
  let session: InferenceSession
  try {
    session = await runtime.InferenceSession.create(model, { intraOpNumThreads: 1, logSeverityLevel: 4 })
  } catch (error) {
    return tell({ problem: `the model cannot be loaded: ${lineOf(error)}` })
  }
  const shape = shapeOf(session)
  const problem = shapeProblem(shape, detector)
  if (problem !== undefined) return tell({ problem })
  const run = runner(runtime, session, shape, detector)
  process.on('message', async ({ rows, count }: OnnxRows) => {
    try {
      tell({ scores: await run(rows, count) })
    } catch (error) {
      tell({ problem: lineOf(error) })
    }
  })
  tell({ ready: true })
}

function shapeOf({ inputMetadata, outputMetadata }: InferenceSession): OnnxShape {
  const tensors = (metadata: InferenceSession['inputMetadata']) =>
    metadata.map((one) =>
      one.isTensor ? { name: one.name, type: one.type, shape: [...one.shape] } : { name: one.name },
    )
  return { inputs: tensors(inputMetadata), outputs: tensors(outputMetadata) }
}

function runner(runtime: Runtime, session: InferenceSession, shape: OnnxShape, detector: ResolvedOnnx) {
  const { kind, anomalous } = detector
  const [input] = shape.inputs
  const output = detector.output ?? shape.outputs.find(({ type }) => type?.startsWith('float'))!.name
  const width = detector.inputs.length
  const sign = anomalous === 'Lower' ? -1 : 1
  return async (rows: Float64Array, count: number): Promise<Float64Array> => {
    const dims = [count, width]
    const tensor =
      input!.type === 'float64'
        ? new runtime.Tensor('float64', rows, dims)
        : new runtime.Tensor('float32', Float32Array.from(rows), dims)
    const results = await session.run({ [input!.name]: tensor }, [output])
    const numbers = (results[output] as Tensor).data as Float32Array | Float64Array
    const expected = kind === 'Reconstruction' ? count * width : count
    if (numbers.length !== expected) throw new Error(`${output} has ${numbers.length} numbers for ${count} rows`)
    if (kind === 'Score') return Float64Array.from(numbers, (x) => sign * x)
    return Float64Array.from({ length: count }, (_, row) => {
      let sum = 0
      for (let i = row * width; i < (row + 1) * width; i++) sum += (numbers[i]! - rows[i]!) ** 2
      return sum / width
    })
  }
}

// Who started it says when it ends: a terminal's signal goes to both.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
process.on('disconnect', () => process.exit())
process.once('message', (message: OnnxStart) => void start(message))
