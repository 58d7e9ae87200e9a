import { parentPort } from 'node:worker_threads'
import { fitModel, type ModelFit } from '../detection/model.ts'

parentPort?.on('message', (fit: ModelFit) => {
  const bytes = fitModel(fit).encode()
  parentPort?.postMessage(bytes, [bytes.buffer as ArrayBuffer])
  // A fit leaves megabytes of buffers and few objects: by itself V8 lets some 60 MB of them wait, in this thread alone.
  setImmediate(() => globalThis.gc?.({ type: 'minor' }))
})
