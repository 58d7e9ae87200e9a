import { createLogger } from '../../lib/log.ts'
import { type Postgres, startPostgres } from '../../tools/servers/postgres.ts'
import type { History } from '../../workloads/history/history.ts'
import { historySuite } from '../../workloads/history/history-suite.ts'
import { type HistorySettings, openHistory } from '../../workloads/history/open-history.ts'
import { postgresAddressOf } from '../../workloads/history/postgres-address.ts'
import { PostgresConnection } from '../../workloads/history/postgres-connection.ts'
import { migrate } from '../../workloads/history/postgres-schema.ts'

const log = await createLogger({ level: 'silent' })

describe('History in PostgreSQL', () => {
  let postgres: Postgres
  let count = 0
  const opened: { close(): Promise<void> }[] = []
  before(async () => {
    postgres = await startPostgres({ settings: { TimeZone: 'Asia/Kathmandu', DateStyle: 'German', fsync: 'off' } })
  })
  after(() => postgres?.stop())
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close()
  })

  const settings = (schema = `anomaly_shop_p${count++}`): HistorySettings => ({
    address: postgresAddressOf(postgres.url, undefined),
    schema,
    retentionDays: 30,
    keep: 'All',
  })
  function connect({ address }: HistorySettings): PostgresConnection {
    const connection = new PostgresConnection({ address, name: 'test', connections: 2, log })
    opened.push(connection)
    return connection
  }
  async function open(): Promise<History> {
    const own = settings()
    await migrate(connect(own), own.schema)
    const history = openHistory(own, log)
    opened.push(history)
    return history
  }

  historySuite(open)
})
