import { Worker } from 'node:worker_threads'
import { decodeModel, type Model, type ModelFit } from '../detection/model.ts'

/** Fits models one after the other in a thread of its own, which is kept: to start one costs more than a fit. */
export interface WorkerFitter {
  fit(fit: ModelFit): Promise<Model>
  /** A fit under way fails. */
  close(): Promise<void>
}

export function createWorkerFitter(): WorkerFitter {
  let worker: Worker | undefined
  let last: Promise<unknown> = Promise.resolve()

  function run(fit: ModelFit): Promise<Model> {
    const own = worker ?? new Worker(new URL('./fit-worker.ts', import.meta.url))
    own.unref()
    worker = own
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => {
        if (worker === own) worker = undefined
        reject(error)
      }
      own.removeAllListeners()
      own.once('message', (bytes: Uint8Array) => resolve(decodeModel(bytes)))
      own.once('error', fail)
      own.once('exit', (code) => fail(new Error(`the worker that fits models exited with ${code}`)))
      own.postMessage(fit)
    })
  }

  return {
    fit(fit) {
      const fitted = last.then(() => run(fit))
      last = fitted.catch(() => {})
      return fitted
    },
    async close() {
      await worker?.terminate()
    },
  }
}
