import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { ResolvedOnnx } from '../../lib/pipeline/resolve-pipeline.ts'
import { within } from '../../lib/time.ts'
import type { OnnxStart } from './onnx-process.ts'
import type { OnnxReply, OnnxRequest } from './onnx-worker.ts'

export interface OnnxRunnerOptions {
  readonly detector: ResolvedOnnx
  /** Of the file. */
  readonly path: string
  /** Told once each time that it stops answering. */
  readonly onProblem?: ((problem: string) => void) | undefined
}

/** A model of somebody else's, in a process that is killed when it takes too long. */
export interface OnnxRunner {
  readonly detector: ResolvedOnnx
  /** SHA-256 of the file. */
  readonly checksum: string
  /**
   * How anomalous each of the rows is, higher is more; NaN where the model gave no finite number or no answer in time. The
   * caller waits, as for any other mathematics, and never longer than the time limit for 512 rows.
   * @param rows row-major, a number an input
   */
  score(rows: Float64Array, count: number): Float64Array
  /** Why it does not answer, or undefined. */
  problem(): string | undefined
  close(): Promise<void>
}

const rowsAtOnce = 512
/** Models of gigabytes are read and prepared within this time. */
const startMs = 60_000

/** @throws AppError where the runtime is not installed, or the file is no model that takes the inputs */
export async function openOnnx({ detector, path, onProblem }: OnnxRunnerOptions): Promise<OnnxRunner> {
  const { name, timeoutMs } = detector
  const model = await readFile(path).catch((error: unknown) => {
    throw new AppError('NotFound', `Detector ${name}: the model ${path} cannot be read: ${messageOf(error)}`, {
      cause: error,
    })
  })
  const { worker, port } = await startWorker({ model, detector })
  let problem: string | undefined
  let asked = 0

  function fail(reason: string): undefined {
    const told = `model ${name} ${reason}`
    if (problem === undefined) onProblem?.(told)
    problem = told
  }

  /** Undefined where there is no answer. */
  function ask(rows: Float64Array, count: number): Float64Array | undefined {
    const flag = new Int32Array(new SharedArrayBuffer(4))
    const id = ++asked
    port.postMessage({ type: 'Asked', id, rows, count, flag } satisfies OnnxRequest)
    if (Atomics.wait(flag, 0, 0, timeoutMs) === 'timed-out') {
      port.postMessage({ type: 'TooSlow' } satisfies OnnxRequest)
      return fail(`did not answer within ${timeoutMs} ms`)
    }
    for (;;) {
      const reply = receiveMessageOnPort(port)?.message as OnnxReply | undefined
      if (reply === undefined) return fail('did not answer')
      // What came too late for those before.
      if (reply.id !== id) continue
      if ('scores' in reply) return reply.scores
      // That it is being started again says less than why.
      if (problem === undefined) fail(`failed: ${'problem' in reply ? reply.problem : 'no answer'}`)
      return undefined
    }
  }

  return {
    detector,
    checksum: createHash('sha256').update(model).digest('hex'),
    score(rows, count) {
      const scores = new Float64Array(count).fill(Number.NaN)
      const width = detector.inputs.length
      for (let from = 0; from < count; from += rowsAtOnce) {
        const to = Math.min(count, from + rowsAtOnce)
        const answer = ask(rows.slice(from * width, to * width), to - from)
        if (answer === undefined) return scores
        scores.set(answer, from)
      }
      let silent = 0
      for (let row = 0; row < count; row++) {
        if (Number.isFinite(scores[row])) continue
        silent++
        scores[row] = Number.NaN
      }
      if (silent > 0) fail(`gave no finite number for ${silent} rows`)
      else problem = undefined
      return scores
    },
    problem: () => problem,
    async close() {
      worker.ref()
      const exited = once(worker, 'exit')
      port.postMessage({ type: 'End' } satisfies OnnxRequest)
      port.close()
      await exited
    },
  }
}

async function startWorker(start: OnnxStart): Promise<{ readonly worker: Worker; readonly port: MessagePort }> {
  const { name } = start.detector
  const { port1: port, port2 } = new MessageChannel()
  const worker = new Worker(new URL('./onnx-worker.ts', import.meta.url), {
    workerData: { start, port: port2 },
    transferList: [port2],
  })
  try {
    const [ready] = (await within(
      startMs,
      once(port, 'message'),
      `Detector ${name}: the model was not ready within ${startMs / 1000} s`,
    )) as [OnnxReply]
    if ('problem' in ready) throw new AppError('InvalidArgument', `Detector ${name}: ${ready.problem}`)
    worker.unref()
    port.unref()
    return { worker, port }
  } catch (error) {
    port.postMessage({ type: 'End' } satisfies OnnxRequest)
    port.close()
    throw error
  }
}
