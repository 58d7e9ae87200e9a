import { createHash } from 'node:crypto'
import { AppError } from '../../lib/errors.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { HistorySettings } from '../history/open-history.ts'
import { postgresAddressOf } from '../history/postgres-address.ts'
import { textOfFile } from './text-file.ts'

export interface PostgresArguments {
  readonly postgresUrl?: string | undefined
  /** PEM files; given, they turn TLS on. */
  readonly postgresCaFile?: string | undefined
  readonly postgresCertFile?: string | undefined
  readonly postgresKeyFile?: string | undefined
}

/**
 * The address and its secrets come from flags, the rest is the pipeline's; undefined where it keeps no history.
 * @throws AppError InvalidArgument
 */
export function historySettingsOf({ metadata, spec }: Pipeline, args: PostgresArguments): HistorySettings | undefined {
  if (spec.history === undefined) return undefined
  const { tls, retentionDays, keep } = spec.history.postgres
  const { postgresUrl, postgresCaFile, postgresCertFile, postgresKeyFile } = args
  if (postgresUrl === undefined)
    throw refused(
      'history.postgres.urlSecretRef names a Secret: give its entry as --postgres-url, or in ANOMALY_POSTGRES_URL',
    )
  if (tls?.caSecretRef !== undefined && postgresCaFile === undefined)
    throw refused('history.postgres.tls.caSecretRef names a Secret: give its entry as --postgres-ca-file')
  if (tls?.certificateSecretRef !== undefined && postgresCertFile === undefined)
    throw refused(
      'history.postgres.tls.certificateSecretRef names a Secret: give its entries as --postgres-cert-file and --postgres-key-file',
    )
  if ((postgresCertFile === undefined) !== (postgresKeyFile === undefined))
    throw refused('--postgres-cert-file and --postgres-key-file go together')
  const isSecured = tls !== undefined || postgresCaFile !== undefined || postgresCertFile !== undefined
  const pem = { ca: textOfFile(postgresCaFile), cert: textOfFile(postgresCertFile), key: textOfFile(postgresKeyFile) }
  const address = postgresAddressOf(postgresUrl, isSecured ? pem : undefined)
  return { address, schema: schemaOf(metadata), retentionDays, keep }
}

/** PostgreSQL cuts a longer name off. */
const longestName = 63

/** With a separator that neither namespace nor name can contain. */
function schemaOf({ namespace, name }: Pipeline['metadata']): string {
  const whole = `anomaly_${namespace}_${name}`
  if (whole.length <= longestName) return whole
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, 12)
  return `${whole.slice(0, longestName - 13)}_${hash}`
}

function refused(reason: string): AppError {
  return new AppError('InvalidArgument', `Cannot reach the history: ${reason}`)
}
