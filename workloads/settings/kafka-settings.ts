import { createSecureContext } from 'node:tls'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { KafkaSettings, SaslMechanism } from '../../lib/kafka/client.ts'
import type { Logger } from '../../lib/log.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { lineOfFile, textOfFile } from './text-file.ts'

/** Files with secrets; in a cluster, the entries of the Secrets that the pipeline names. */
export interface KafkaArguments {
  /** PEM files; given, they turn TLS on. */
  readonly kafkaCaFile?: string | undefined
  readonly kafkaCertFile?: string | undefined
  readonly kafkaKeyFile?: string | undefined
  /** For SASL. */
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
  const { brokers, tls, sasl } = spec.source
  if (tls?.caSecretRef !== undefined && args.kafkaCaFile === undefined)
    throw refused('source.tls.caSecretRef names a Secret: give its entry as --kafka-ca-file')
  if (tls?.certificateSecretRef !== undefined && args.kafkaCertFile === undefined)
    throw refused(
      'source.tls.certificateSecretRef names a Secret: give its entries as --kafka-cert-file and --kafka-key-file',
    )
  if (sasl === undefined && hasUser(args))
    throw refused('a user is given, and the pipeline has no source.sasl with a mechanism')
  if (sasl !== undefined && !hasLogin(args))
    throw refused('source.sasl names a Secret: give its entries as --kafka-username-file and --kafka-password-file')
  const clientId = `anomaly-${metadata.namespace}-${metadata.name}`
  return connectionOf({ brokers, clientId, tls: tls !== undefined, mechanism: sasl?.mechanism }, args, log)
}

export interface BrokerArguments extends KafkaArguments {
  readonly brokers: readonly string[]
  /** TLS without a file: the public authorities are trusted. */
  readonly kafkaTls: boolean
  readonly kafkaSaslMechanism?: SaslMechanism | undefined
}

/**
 * How to reach brokers that no pipeline names.
 * @throws AppError InvalidArgument where the flags contradict one another, or a file is missing, unreadable or of no use
 */
export function brokerSettingsOf(args: BrokerArguments, clientId: string, log: Logger): KafkaSettings {
  const { brokers, kafkaTls: tls, kafkaSaslMechanism: mechanism } = args
  if (mechanism === undefined ? hasUser(args) : !hasLogin(args))
    throw refused('--kafka-sasl-mechanism, --kafka-username-file and --kafka-password-file go together')
  return connectionOf({ brokers, clientId, tls, mechanism }, args, log)
}

const hasUser = ({ kafkaUsernameFile, kafkaPasswordFile }: KafkaArguments): boolean =>
  kafkaUsernameFile !== undefined || kafkaPasswordFile !== undefined
const hasLogin = ({ kafkaUsernameFile, kafkaPasswordFile }: KafkaArguments): boolean =>
  kafkaUsernameFile !== undefined && kafkaPasswordFile !== undefined

interface Connection {
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly tls: boolean
  readonly mechanism: SaslMechanism | undefined
}

function connectionOf(connection: Connection, args: KafkaArguments, log: Logger): KafkaSettings {
  const { brokers, clientId, mechanism } = connection
  const { kafkaUsernameFile, kafkaPasswordFile } = args
  const tls = tlsOf(connection.tls, args)
  return {
    brokers,
    clientId,
    ...(tls === undefined ? {} : { tls }),
    ...(mechanism === undefined
      ? {}
      : { sasl: { mechanism, username: lineOfFile(kafkaUsernameFile!), password: lineOfFile(kafkaPasswordFile!) } }),
    log,
  }
}

function tlsOf(isAsked: boolean, args: KafkaArguments): KafkaSettings['tls'] {
  const { kafkaCaFile, kafkaCertFile, kafkaKeyFile } = args
  if ((kafkaCertFile === undefined) !== (kafkaKeyFile === undefined))
    throw refused('--kafka-cert-file and --kafka-key-file go together')
  if (!isAsked && kafkaCaFile === undefined && kafkaCertFile === undefined) return undefined
  const pem = { ca: textOfFile(kafkaCaFile), cert: textOfFile(kafkaCertFile), key: textOfFile(kafkaKeyFile) }
  const given = Object.fromEntries(Object.entries(pem).filter(([, text]) => text !== undefined))
  try {
    createSecureContext(given)
  } catch (error) {
    throw refused(`the certificates are of no use: ${messageOf(error)}`, error)
  }
  return given
}

function refused(reason: string, cause?: unknown): AppError {
  return new AppError('InvalidArgument', `Cannot connect to Kafka: ${reason}`, { cause })
}
