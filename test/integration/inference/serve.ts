import { join } from 'node:path'
import { createLogger } from '../../../lib/log.ts'
import type { LivePipeline } from '../../../lib/pipeline/live-pipeline.ts'
import { parsePipeline } from '../../../lib/pipeline/parse-pipeline.ts'
import { removeFolder, type ServerProcess, startServer, temporaryFolder } from '../../../tools/servers/server.ts'
import type { ModelProblems } from '../../../workloads/detection/model-record.ts'
import { runInference } from '../../../workloads/inference/main.ts'
import type { ChallengeFigures } from '../../../workloads/scoring/model-figures.ts'
import { createMemoryState } from '../../../workloads/state/memory.ts'
import type { ModelStore } from '../../../workloads/state/state.ts'

const silent = await createLogger({ level: 'silent' })

/** A pipeline document with this detection. */
export function pipelineOf(detection: object = {}) {
  return parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'test' },
    spec: { source: { brokers: ['localhost:9092'] }, detection },
  })
}

export function memoryModels(): ModelStore {
  return createMemoryState({ profileTtlSeconds: 60, featureTtlSeconds: 60, maxFeatures: 1000, now: Date.now }).models
}

/** Features of the pipelines of these tests. */
const allFeatures = ['a', 'b', 'amount', 'distance', 'cpu', 'memory', 'new']

export interface Served {
  readonly port: number
  readonly address: string
  /** An answer of the port for probes. */
  probe(path: string): Promise<{ readonly status: number; readonly text: string }>
  /** `/status` */
  status(): Promise<{
    readonly modelVersion: string
    readonly modelRows: number
    readonly modelFitTime?: string
    readonly rowsSeen: number
    readonly store: string
    readonly modelProblems: ModelProblems
    readonly challenger?: ChallengeFigures
  }>
  stop(): Promise<void>
}

/** An inference replica in this process. */
export async function serve(
  options: {
    readonly detection?: object
    readonly live?: LivePipeline
    readonly models?: ModelStore
    readonly features?: readonly string[]
    readonly replica?: string
    readonly drainMs?: number
    readonly maxRows?: number
    readonly maxMessageBytes?: number
    readonly maxConnectionAgeMs?: number
  } = {},
): Promise<Served> {
  const { models = memoryModels(), features = allFeatures, replica = 'replica', detection, ...server } = options
  const stop = new AbortController()
  const started = Promise.withResolvers<{ readonly grpc: number; readonly probes: number }>()
  const ended = runInference({
    pipeline: pipelineOf(detection),
    models,
    features: { names: async () => features },
    replica,
    port: 0,
    probesPort: 0,
    log: silent,
    stop,
    pollMs: 20,
    onStarted: started.resolve,
    ...server,
  })
  ended.catch(started.reject)
  const { grpc, probes } = await started.promise
  return servedAt(grpc, probes, async () => {
    stop.abort()
    await ended
  })
}

function servedAt(port: number, probes: number, stop: () => Promise<void>): Served {
  const probe = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${probes}${path}`)
    return { status: response.status, text: await response.text() }
  }
  return {
    port,
    address: `127.0.0.1:${port}`,
    probe,
    status: async () => JSON.parse((await probe('/status')).text),
    stop,
  }
}

export interface ServedProcess extends Served, Omit<ServerProcess, 'stop'> {}

/** `anomaly inference` as a process of its own. */
export async function spawnInference(options: {
  readonly port: number
  readonly probesPort: number
  readonly redisUrl: string
  readonly replica?: string
  readonly host?: string
  readonly drainSeconds?: number
}): Promise<ServedProcess> {
  const { port, probesPort, redisUrl, replica = `replica-${port}`, drainSeconds = 0 } = options
  const folder = temporaryFolder('inference')
  const root = new URL('../../..', import.meta.url).pathname
  const args = [
    join(root, 'bin/anomaly.ts'),
    ...['inference', '-f', join(root, 'manifests/pipelines/minimal.yaml')],
    ...(options.host === undefined ? [] : ['--host', options.host]),
    ...['--port', String(port), '--probes-port', String(probesPort)],
    ...['--redis-url', redisUrl, '--replica', replica, '--drain-seconds', String(drainSeconds)],
  ]
  const server = await startServer(process.execPath, args, {
    log: join(folder, 'inference.log'),
    ready: async () => (await fetch(`http://127.0.0.1:${probesPort}/readyz`)).ok,
  })
  const stop = async () => {
    await server.stop()
    removeFolder(folder)
  }
  return { ...server, ...servedAt(port, probesPort, stop) }
}
