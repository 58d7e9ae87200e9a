import type * as Kafkajs from 'kafkajs'
import type { Logger } from '../log.ts'
import { loadKafkajs } from './kafkajs.ts'

export const saslMechanisms = ['Plain', 'ScramSha256', 'ScramSha512'] as const
export type SaslMechanism = (typeof saslMechanisms)[number]

/** Where a cluster is, and as whom to connect. PEM texts, not paths. */
export interface KafkaSettings {
  readonly brokers: readonly string[]
  readonly clientId: string
  /** Without `cert` and `key` only the broker proves who it is; without `ca` the system's authorities are trusted. */
  readonly tls?: {
    readonly ca?: string | undefined
    readonly cert?: string | undefined
    readonly key?: string | undefined
  }
  readonly sasl?: { readonly mechanism: SaslMechanism; readonly username: string; readonly password: string }
  readonly log: Logger
}

const saslNames = { Plain: 'plain', ScramSha256: 'scram-sha-256', ScramSha512: 'scram-sha-512' } as const

/** Each consumer and each kind of producer gets its own: clients of one share a map of offsets that aborted transactions change. */
export function clientOf(settings: KafkaSettings, retry: Kafkajs.RetryOptions): Kafkajs.Kafka {
  const { brokers, clientId, tls, sasl, log } = settings
  const { Kafka, logLevel } = loadKafkajs()
  return new Kafka({
    brokers: [...brokers],
    clientId,
    ...(tls ? { ssl: { ...tls } as Kafkajs.KafkaConfig['ssl'] & object } : {}),
    ...(sasl ? { sasl: { ...sasl, mechanism: saslNames[sasl.mechanism] } as Kafkajs.SASLOptions } : {}),
    connectionTimeout: 3000,
    authenticationTimeout: 10_000,
    requestTimeout: 10_000,
    retry,
    logLevel: logLevel.WARN,
    // kafkajs calls each retry an error; what matters is logged by whoever used it.
    logCreator: () => (entry) => log.debug({ kafka: entry.namespace, ...entry.log }, entry.log.message),
  })
}

export const connecting: Kafkajs.RetryOptions = { initialRetryTime: 100, maxRetryTime: 1000, retries: 3 }

type ClusterMaker = (options: object) => unknown

/**
 * Calls back with each cluster that the client makes, of which kafkajs shows no more than it thinks is needed; what is
 * given as `options` is changed for it.
 */
export function onCluster(kafka: Kafkajs.Kafka, made: (cluster: unknown) => void, options: object = {}): void {
  const hidden = kafka as Kafkajs.Kafka & Record<symbol, ClusterMaker>
  for (const name of Object.getOwnPropertySymbols(hidden)) {
    if (name.description !== 'private:Kafka:createCluster') continue
    const createCluster = hidden[name]!
    hidden[name] = (given) => {
      const cluster = createCluster({ ...given, ...options })
      made(cluster)
      return cluster
    }
  }
}
