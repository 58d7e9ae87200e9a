import type { Logger } from '../lib/log.ts'
import type { Pipeline } from '../lib/pipeline/spec.ts'
import { systemClock } from '../lib/time.ts'
import { deployments } from './kinds.ts'
import { createLagSampler, type LagSamplerOptions, type LagView } from './lag/lag-sampler.ts'
import type { PodReports } from './pods/pod-reports.ts'
import { createReportReader, type ReportReaderOptions } from './pods/report-reader.ts'
import type { KubeObject } from './runtime/kube-object.ts'
import type { NamedObjects } from './runtime/named-objects.ts'
import type { Watches } from './watches.ts'

export interface SamplersOptions {
  readonly log: Logger
  readonly watches: Watches
  readonly named: NamedObjects
  readonly sampling?: Sampling | undefined
  /** Called when what `read` gives has changed enough to be told. */
  readonly changed: (key: string) => void
}

/** How topics and pods are looked at: other ways, and faster, in tests. */
export interface Sampling extends Pick<LagSamplerOptions, 'openAdmin' | 'intervalMs' | 'tellMs'> {
  readonly pods?: Pick<ReportReaderOptions, 'askPod' | 'intervalMs'> | undefined
}

/** What is looked at beside the reconciles, each in its own time: topics, and what pods say. */
export interface Samplers {
  /** Looks at what belongs to the pipeline from now on; undefined: no longer. */
  follow(key: string, pipeline: Pipeline | undefined): void
  read(key: string): LagView & { readonly reports?: PodReports | undefined }
  stop(): void
}

export function createSamplers({ log, watches, named, sampling, changed }: SamplersOptions): Samplers {
  const common = { log, clock: systemClock, random: Math.random, changed }
  const cachedDeployments = watches.cacheOf(deployments)
  const lag = createLagSampler({
    ...common,
    readyConsumers: (key) => readyReplicas(cachedDeployments.get(`${key}-consumer`)),
    secret: named.get,
    ...sampling,
  })
  const reports = createReportReader({
    ...common,
    podsOf: (key, component) => watches.pods.indexed('component', `${key}/${component}`),
    ...sampling?.pods,
  })
  return {
    follow(key, pipeline) {
      lag.follow(key, pipeline)
      reports.follow(key, pipeline !== undefined)
    },
    read: (key) => ({ ...lag.read(key), reports: reports.read(key) }),
    stop() {
      lag.stop()
      reports.stop()
    },
  }
}

const readyReplicas = (deployment: KubeObject | undefined): number =>
  (deployment?.status as { readyReplicas?: number } | undefined)?.readyReplicas ?? 0
