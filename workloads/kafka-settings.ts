import { createSecureContext } from 'node:tls'
import { AppError, messageOf } from '../lib/errors.ts'
import type { KafkaSettings } from '../lib/kafka.ts'
import type { Logger } from '../lib/log.ts'
import type { Pipeline } from '../lib/pipeline/spec.ts'
import { lineOfFile, textOfFile } from './text-file.ts'

/** Files with what the pipeline's Secrets hold. */
export interface KafkaArguments {
  /** PEM files; given, they turn TLS on. */
  readonly kafkaCaFile?: string | undefined
  readonly kafkaCertFile?: string | undefined
  readonly kafkaKeyFile?: string | undefined
  /** For the pipeline's SASL mechanism. */
  readonly kafkaUsernameFile?: string | undefined
  readonly kafkaPasswordFile?: string | undefined
}

/**
 * How to reach the brokers of a pipeline's source: the addresses and the mechanism are the pipeline's, the secrets come
 * from files.
 * @throws AppError InvalidArgument where a file is missing, unreadable or of no use
 */
export function kafkaSettingsOf(pipeline: Pipeline, args: KafkaArguments, log: Logger): KafkaSettings {
  const { metadata, spec } = pipeline
  const tls = tlsOf(spec.source.tls, args)
  const sasl = saslOf(spec.source.sasl, args)
  return {
    brokers: spec.source.brokers,
    clientId: `anomaly-${metadata.namespace}-${metadata.name}`,
    ...(tls === undefined ? {} : { tls }),
    ...(sasl === undefined ? {} : { sasl }),
    log,
  }
}

type Source = Pipeline['spec']['source']

function tlsOf(spec: Source['tls'], args: KafkaArguments): KafkaSettings['tls'] {
  const { kafkaCaFile, kafkaCertFile, kafkaKeyFile } = args
  if ((kafkaCertFile === undefined) !== (kafkaKeyFile === undefined))
    throw refused('--kafka-cert-file and --kafka-key-file go together')
  if (spec?.caSecretRef !== undefined && kafkaCaFile === undefined)
    throw refused('source.tls.caSecretRef names a Secret: give its entry as --kafka-ca-file')
  if (spec?.certificateSecretRef !== undefined && kafkaCertFile === undefined)
    throw refused(
      'source.tls.certificateSecretRef names a Secret: give its entries as --kafka-cert-file and --kafka-key-file',
    )
  if (spec === undefined && kafkaCaFile === undefined && kafkaCertFile === undefined) return undefined
  const pem = { ca: textOfFile(kafkaCaFile), cert: textOfFile(kafkaCertFile), key: textOfFile(kafkaKeyFile) }
  const given = Object.fromEntries(Object.entries(pem).filter(([, text]) => text !== undefined))
  try {
    createSecureContext(given)
  } catch (error) {
    throw refused(`the certificates are of no use: ${messageOf(error)}`, error)
  }
  return given
}

function saslOf(spec: Source['sasl'], args: KafkaArguments): KafkaSettings['sasl'] {
  const { kafkaUsernameFile, kafkaPasswordFile } = args
  if (spec === undefined) {
    if (kafkaUsernameFile === undefined && kafkaPasswordFile === undefined) return undefined
    throw refused('a user is given, and the pipeline has no source.sasl with a mechanism')
  }
  if (kafkaUsernameFile === undefined || kafkaPasswordFile === undefined)
    throw refused('source.sasl names a Secret: give its entries as --kafka-username-file and --kafka-password-file')
  return {
    mechanism: spec.mechanism,
    username: lineOfFile(kafkaUsernameFile),
    password: lineOfFile(kafkaPasswordFile),
  }
}

function refused(reason: string, cause?: unknown): AppError {
  return new AppError('InvalidArgument', `Cannot connect to Kafka: ${reason}`, { cause })
}
