import type { Logger } from '../../lib/log.ts'
import type { History } from './history.ts'
import type { PostgresAddress } from './postgres-address.ts'
import { PostgresConnection } from './postgres-connection.ts'
import { PostgresDays } from './postgres-days.ts'
import { createPostgresHistory } from './postgres-history.ts'

/** Where and how a pipeline keeps its history. */
export interface HistorySettings {
  readonly address: PostgresAddress
  /** The pipeline's own among the schemas of the database. */
  readonly schema: string
  readonly retentionDays: number
  readonly keep: 'All' | 'Alerts'
}

/** For those who read a history that the recorder writes. It connects when it is asked. */
export function openHistory({ address, schema, retentionDays }: HistorySettings, log: Logger): History {
  const connection = new PostgresConnection({ address, name: `anomaly api ${schema}`, connections: 4, log })
  return createPostgresHistory({
    connection,
    schema,
    days: new PostgresDays(connection, { schema, retentionDays, log }),
  })
}
