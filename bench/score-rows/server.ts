// An inference replica without Redis; tells its port, then its CPU time in ms whenever it is asked.
import { createLogger } from '../../lib/log.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { runInference } from '../../workloads/inference/main.ts'
import { createMemoryState } from '../../workloads/state/memory.ts'

const state = createMemoryState({ profileTtlSeconds: 60, featureTtlSeconds: 60, maxFeatures: 1000, now: Date.now })
await state.features.extend(JSON.parse(process.argv[2] ?? '[]'))
const send = (message: object): void => void process.send!(message)

process.on('message', () => {
  const { user, system } = process.cpuUsage()
  send({ cpuMs: (user + system) / 1000 })
})
await runInference({
  pipeline: await loadPipeline(new URL('../../manifests/pipelines/minimal.yaml', import.meta.url).pathname),
  models: state.models,
  features: state.features,
  replica: 'bench',
  port: 0,
  probesPort: 0,
  log: await createLogger({ level: 'error', format: 'json' }),
  onStarted: ({ grpc }) => send({ port: grpc }),
})
process.disconnect()
