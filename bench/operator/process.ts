import { KubeConfig } from '@kubernetes/client-node'
import { Registry } from 'prom-client'
import { createOperator } from '../../operator/operator.ts'
import { createOperatorMetrics } from '../../operator/operator-metrics.ts'

/** The operator in a process of its own, as in a pod: its memory and its time are not its measurer's. */

export interface Measured {
  /** Milliseconds of each reconcile since the last question. */
  readonly durations: readonly number[]
  readonly rssMebibytes: number
  readonly peakRssMebibytes: number
}

const kubeConfig = new KubeConfig()
kubeConfig.loadFromFile(process.argv[2]!)
const durations: number[] = []
const metrics = createOperatorMetrics(new Registry())
const operator = createOperator({
  kubeConfig,
  settings: { workloadImage: 'anomaly:bench', redisImage: 'redis:bench', logLevel: 'info' },
  leaseNamespace: 'default',
  identity: 'bench',
  concurrency: 8,
  log: { debug() {}, info() {}, warn() {}, error() {} },
  onDeath(error) {
    throw error
  },
  metrics: { ...metrics, observer: { ...metrics.observer, finished: (_, tookMs) => durations.push(tookMs) } },
  sampling: {
    openAdmin: () => ({
      lag: async () => new Map([[0, 0]]),
      topicOffsets: async () => new Map(),
      committedOffsets: async () => new Map(),
      topicId: async () => undefined,
      createMissingTopics: async () => [],
      close() {},
    }),
  },
})

process.on('message', (message: 'start' | 'measure') => {
  if (message === 'start') void operator.start?.(new AbortController().signal)
  const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20)
  const measured: Measured = {
    durations: durations.splice(0),
    rssMebibytes: mebibytes(process.memoryUsage.rss()),
    peakRssMebibytes: mebibytes(process.resourceUsage().maxRSS * 1024),
  }
  process.send?.(measured)
})
