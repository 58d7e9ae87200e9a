import { parentPort } from 'node:worker_threads'
import { fitModel, type ModelFit } from '../detection/model.ts'

parentPort?.on('message', (fit: ModelFit) => {
  const bytes = fitModel(fit).encode()
  parentPort?.postMessage(bytes, [bytes.buffer as ArrayBuffer])
})
