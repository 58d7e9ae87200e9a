import { AppError, messageOf } from '../../lib/errors.ts'
import { type KafkaAdmin, openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { currentGroup } from '../../lib/kafka/current-group.ts'
import type { Logger } from '../../lib/log.ts'
import { resolveGroup, resolveScaling } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { type Clock, sleep } from '../../lib/time.ts'
import { manager } from '../desired/child.ts'
import type { Reason } from '../problem.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import type { LagDemand } from './consumer-bounds.ts'
import { type LagState, nextLagState } from './lag-policy.ts'

/** What was last heard of a topic. */
export type SourceSample =
  | { readonly partitions: number; readonly lag: number; readonly problem?: never }
  | { readonly problem: Reason; readonly lag?: never }

export interface LagSamplerOptions {
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  /** Called when what `read` gives has changed enough to be told. */
  readonly changed: (key: string) => void
  /** Consumers that are ready now. */
  readonly readyConsumers: (key: string) => number
  /** A Secret of the pipeline's namespace: `namespace/name`. */
  readonly secret: (key: string) => KubeObject | null | undefined
  readonly openAdmin?: typeof openAdmin
  readonly intervalMs?: number
  /** How often a lag that changed is told, at most. */
  readonly tellMs?: number
}

export interface LagSampler {
  /** Samples the pipeline's topic from now on; undefined: no longer. */
  follow(key: string, pipeline: Pipeline | undefined): void
  /** What was told last. */
  read(key: string): LagView
  stop(): void
}

/** What was seen last, and what follows from it: that stands while the brokers do not answer. */
export interface LagView extends LagDemand {
  readonly source?: SourceSample
}

interface Entry {
  pipeline: Pipeline
  /** What it is looked at with: source and Secrets. */
  access: string
  readonly end: AbortController
  /** Ends the pause until the next look. */
  wake: AbortController
  state?: LagState | undefined
  told: LagView
  toldAt: number
}

/** Two significant digits: a status that changed with every event would be written for ever. */
const rounded = (lag: number): number => (lag < 100 ? lag : Number(lag.toPrecision(2)))

/**
 * Looks at the topics of pipelines beside the reconciles, each in its own time: a Kafka that does not answer holds up
 * nothing, and changes nothing but the condition that says so.
 */
export function createLagSampler(options: LagSamplerOptions): LagSampler {
  const { log, clock, random, changed, readyConsumers, secret } = options
  const { openAdmin: open = openAdmin, intervalMs = 15_000, tellMs = 60_000 } = options
  const entries = new Map<string, Entry>()

  async function sample(key: string, entry: Entry): Promise<LagView> {
    const { pipeline } = entry
    const { topic, startFrom } = pipeline.spec.source
    let admin: KafkaAdmin | undefined
    try {
      admin = open(settingsOf(pipeline, log, secret), { timeoutMs: 10_000 })
      const group = await currentGroup(admin, topic, resolveGroup(pipeline))
      const byPartition = await admin.lag(group, topic, startFrom)
      const lag = [...byPartition.values()].reduce((sum, part) => sum + part, 0)
      return decide(key, entry, byPartition.size, lag)
    } catch (error) {
      const reason = error instanceof AppError && error.code === 'NotFound' ? 'TopicMissing' : 'Unreachable'
      return { ...entry.told, source: { problem: { reason, message: messageOf(error).slice(0, 1024) } } }
    } finally {
      admin?.close()
    }
  }

  function decide(key: string, entry: Entry, partitions: number, lag: number): LagView {
    const source: SourceSample = { partitions, lag: rounded(lag) }
    const scaling = resolveScaling(entry.pipeline.spec, 'consumer')
    if (scaling.type === 'fixed' || scaling.targetLag === undefined) {
      entry.state = undefined
      return { source, partitions }
    }
    const { minReplicas, maxReplicas, targetLag } = scaling
    const seen = { partitions, lag, readyReplicas: readyConsumers(key), at: clock.monotonic() }
    entry.state = nextLagState(entry.state, seen, { minReplicas, maxReplicas, targetLag })
    return { source, partitions, floor: entry.state.floor }
  }

  async function work(key: string, entry: Entry): Promise<void> {
    const { signal } = entry.end
    // Spread out, so that a thousand pipelines are not looked at in the same moment.
    await sleep(random() * Math.min(intervalMs, 2_000), { signal, clock })
    while (!signal.aborted) {
      let isAway = false
      if (entry.pipeline.spec.desiredState !== 'Paused') {
        const view = await sample(key, entry)
        if (signal.aborted) return
        isAway = view.source?.problem !== undefined
        const isLate = clock.monotonic() - entry.toldAt >= tellMs
        if (isNews(entry.told, view) || (isLate && !isSame(entry.told, view))) {
          entry.told = view
          entry.toldAt = clock.monotonic()
          changed(key)
        }
      }
      // A topic that is about to be created, or brokers that are about to be back, are worth a look sooner.
      const pauseMs = (isAway ? intervalMs / 3 : intervalMs) * (0.9 + random() / 5)
      await sleep(pauseMs, { signal: AbortSignal.any([signal, entry.wake.signal]), clock })
      if (entry.wake.signal.aborted) entry.wake = new AbortController()
    }
  }

  /** Differs when what was in the way may be gone: another address, or another version of a Secret. */
  function accessOf({ metadata: { namespace }, spec: { source } }: Pipeline): string {
    const names = [source.sasl?.secretRef, source.tls?.caSecretRef, source.tls?.certificateSecretRef]
    const versions = names.map((ref) => ref && secret(`${namespace}/${ref.name}`)?.metadata.resourceVersion)
    return JSON.stringify([source, versions])
  }

  return {
    follow(key, pipeline) {
      const entry = entries.get(key)
      if (pipeline === undefined) {
        entry?.end.abort()
        entries.delete(key)
      } else if (entry !== undefined) {
        entry.pipeline = pipeline
        const access = accessOf(pipeline)
        if (access === entry.access) return
        entry.access = access
        entry.wake.abort()
      } else {
        const begun: Entry = {
          pipeline,
          access: accessOf(pipeline),
          end: new AbortController(),
          wake: new AbortController(),
          told: {},
          toldAt: Number.NEGATIVE_INFINITY,
        }
        entries.set(key, begun)
        void work(key, begun)
      }
    },
    read: (key) => entries.get(key)?.told ?? {},
    stop() {
      for (const { end } of entries.values()) end.abort()
      entries.clear()
    },
  }
}

/** What is told at once: another decision, a source that came or went, other partitions. */
function isNews(before: LagView, after: LagView): boolean {
  return (
    (before.source === undefined) !== (after.source === undefined) ||
    before.source?.problem?.reason !== after.source?.problem?.reason ||
    before.partitions !== after.partitions ||
    isOtherOrder(before.source, after.source) ||
    before.floor !== after.floor
  )
}

/** Whether the lag came, went, or doubled or halved: nobody wants to read of it a minute later. */
function isOtherOrder(before: SourceSample | undefined, after: SourceSample | undefined): boolean {
  const [was, is] = [before?.lag, after?.lag]
  if (was === undefined || is === undefined || was === is) return false
  return Math.min(was, is) * 2 <= Math.max(was, is)
}

const isSame = (a: LagView, b: LagView): boolean => JSON.stringify(a) === JSON.stringify(b)

/** How to reach the brokers, with what the pipeline's Secrets hold. Throws where one of them is not there. */
function settingsOf(
  { metadata: { namespace }, spec }: Pipeline,
  log: Logger,
  secret: LagSamplerOptions['secret'],
): KafkaSettings {
  const entryOf = (name: string, entry: string): string => {
    const data = (secret(`${namespace}/${name}`)?.data ?? {}) as Readonly<Record<string, string>>
    const value = data[entry]
    if (value === undefined) throw new AppError('Unavailable', `Secret ${name} has no entry ${entry}`)
    return Buffer.from(value, 'base64').toString()
  }
  const { brokers, tls, sasl } = spec.source
  const { caSecretRef: ca, certificateSecretRef: certificate } = tls ?? {}
  const pem = {
    ...(ca === undefined ? {} : { ca: entryOf(ca.name, ca.key) }),
    ...(certificate === undefined
      ? {}
      : { cert: entryOf(certificate.name, 'tls.crt'), key: entryOf(certificate.name, 'tls.key') }),
  }
  return {
    brokers,
    clientId: manager,
    log,
    ...(tls === undefined ? {} : { tls: pem }),
    ...(sasl === undefined
      ? {}
      : {
          sasl: {
            mechanism: sasl.mechanism,
            username: entryOf(sasl.secretRef.name, 'username').trim(),
            password: entryOf(sasl.secretRef.name, 'password').trim(),
          },
        }),
  }
}
