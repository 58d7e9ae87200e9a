import { expect } from 'chai'
import { createLogger } from '../../lib/log.ts'
import { type PgBouncer, startPgBouncer } from '../../tools/servers/pgbouncer.ts'
import { type Postgres, startPostgres } from '../../tools/servers/postgres.ts'
import type { History } from '../../workloads/history/history.ts'
import { historySuite, judged } from '../../workloads/history/history-suite.ts'
import { type HistorySettings, openHistory } from '../../workloads/history/open-history.ts'
import { postgresAddressOf } from '../../workloads/history/postgres-address.ts'
import { PostgresConnection, writing } from '../../workloads/history/postgres-connection.ts'
import { PostgresDays } from '../../workloads/history/postgres-days.ts'
import { copyRows } from '../../workloads/history/postgres-history.ts'
import { PostgresRecording } from '../../workloads/history/postgres-recording.ts'
import { RowBuffer } from '../../workloads/history/postgres-rows.ts'
import { migrate, migrations } from '../../workloads/history/postgres-schema.ts'
import { verdictWriter } from '../../workloads/history/published-records.ts'
import { withReference } from '../../workloads/wire/verdict-bytes.ts'

const log = await createLogger({ level: 'silent' })
const day = 86_400_000

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('History in PostgreSQL', () => {
  let postgres: Postgres
  let count = 0
  const opened: { close(): Promise<void> }[] = []
  before(async () => {
    // What a database may be set to, and a history does not depend on.
    const settings = {
      TimeZone: 'Asia/Kathmandu',
      DateStyle: 'German',
      statement_timeout: '1000',
      max_connections: '30',
    }
    postgres = await startPostgres({ tls: true, settings })
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
  async function open(own = settings()): Promise<History> {
    await migrate(connect(own), own.schema)
    const history = openHistory(own, log)
    opened.push(history)
    return history
  }
  const partitions = async (schema: string) =>
    (
      await postgres.sql(
        `SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = oid WHERE inhparent = '${schema}.verdicts'::regclass ORDER BY 1`,
      )
    ).map(({ relname }) => relname)

  historySuite(() => open())

  describe('behind a pooler that may give each transaction another session', () => {
    let pooler: PgBouncer
    before(async () => {
      pooler = await startPgBouncer(postgres.url, 'transaction')
    })
    after(() => pooler?.stop())

    historySuite(() => open({ ...settings(), address: postgresAddressOf(pooler.url, undefined) }))
  })

  it('is made once where several begin together, and brought on from an earlier version with what it holds', async () => {
    const own = settings()
    const connections = Array.from({ length: 4 }, () => connect(own))
    await Promise.all(connections.map((connection) => migrate(connection, own.schema, migrations.slice(0, 1))))
    const history = openHistory(own, log)
    opened.push(history)
    await history.record([judged(1)], [])
    const next = [...migrations, 'ALTER TABLE $schema.verdicts ADD COLUMN note text']
    await Promise.all(connections.map((connection) => migrate(connection, own.schema, next)))
    const versions = await postgres.sql(`SELECT version FROM ${own.schema}.migrations ORDER BY 1`)
    expect(versions).to.deep.equal(next.map((_, i) => ({ version: i + 1 })))
    expect(await history.result('e1')).to.be.a('string')
    await history.record([judged(2)], [])
    expect(await history.result('e2')).to.be.a('string')
    expect(await migrate(connections[0]!, own.schema).catch((error) => error.message)).to.match(
      /is of version 2, and this program knows 1; run the newer program/,
    )
  })

  it('leaves nothing of a migration that fails', async () => {
    const own = settings()
    await open(own)
    const failing = [...migrations, 'CREATE TABLE $schema.half (); SELECT 1 / 0']
    expect(await migrate(connect(own), own.schema, failing).catch((error) => error)).to.be.an('error')
    expect(await postgres.sql(`SELECT to_regclass('${own.schema}.half') AS half`)).to.deep.equal([{ half: null }])
    await migrate(connect(own), own.schema)
  })

  it('needs no right on the database where the schema is there', async () => {
    const own = settings()
    await postgres.sql(
      `CREATE SCHEMA ${own.schema} AUTHORIZATION anomaly; REVOKE CREATE ON DATABASE anomaly FROM anomaly`,
    )
    try {
      await migrate(connect(own), own.schema)
    } finally {
      await postgres.sql('GRANT CREATE ON DATABASE anomaly TO anomaly')
    }
  })

  it('has a partition a day of when verdicts were published, made ahead, and drops those whose time is over', async () => {
    const own = settings()
    const history = await open(own)
    const connection = connect(own)
    const days = new PostgresDays(connection, { schema: own.schema, retentionDays: 3, log })
    const now = Date.UTC(2026, 1, 28, 23, 59)
    const write = async (i: number, published: number) => {
      const rows = new RowBuffer()
      rows.add(judged(i), published)
      await days.ensure([published])
      await connection.transaction('Write', writing, (transaction) => copyRows(transaction, own.schema, rows))
    }
    for (let ago = 4; ago >= 0; ago--) await write(ago, now - ago * day)
    await days.maintain(now)
    const names = (dates: readonly string[]) => dates.map((date) => `verdicts_${date}`)
    expect(await partitions(own.schema)).to.deep.equal(
      names(['20260225', '20260226', '20260227', '20260228', '20260301']),
    )
    expect(await history.result('e4')).to.equal(undefined)
    expect(await history.result('e3')).to.be.a('string')
    // The next moment is in another day and month.
    await write(9, now + 60_000)
    expect(await history.result('e9')).to.be.a('string')
    await days.maintain(now + day)
    expect(await partitions(own.schema)).to.deep.equal(
      names(['20260226', '20260227', '20260228', '20260301', '20260302']),
    )
  })

  it('does not hold up who writes while a report reads what is to be dropped', async () => {
    const own = settings()
    await open(own)
    const connection = connect(own)
    const days = new PostgresDays(connection, { schema: own.schema, retentionDays: 3, log })
    const now = Date.UTC(2026, 1, 10)
    await days.maintain(now)
    const report = await connect(own).begin('Ask', { statementMs: 60_000, lockMs: 1000 })
    await report.query('report', `SELECT count(*) FROM ${own.schema}.verdicts`)
    const maintaining = days.maintain(now + 5 * day).catch((error) => error.message)
    const rows = new RowBuffer()
    rows.add(judged(1), now + 5 * day)
    await days.ensure([now + 5 * day])
    await connection.transaction('Write', writing, (transaction) => copyRows(transaction, own.schema, rows))
    expect(await maintaining).to.match(/lock timeout; another session holds the lock for long/)
    await report.commit()
    await days.maintain(now + 5 * day)
    expect(await partitions(own.schema)).to.deep.equal(['verdicts_20260215', 'verdicts_20260216'])
  })

  it('has the values that verdicts say, and of those of former releases what their reasons say', async () => {
    const own = settings()
    await migrate(connect(own), own.schema)
    const days = new PostgresDays(connect(own), { schema: own.schema, retentionDays: 30, log })
    const write = verdictWriter({ isOwn: () => true, schema: own.schema, days, keep: 'All', wall: Date.now })
    const reference = { value: 1234567.25, partition: 1, offset: 7 }
    const published = [
      withReference(judged(1, { userId: 'k' }).json, reference),
      judged(2, { userId: 'k', value: 52 }).json,
      judged(3, { userId: 'k', feature: 'a' }).json,
      withReference(judged(4, { userId: 'k', feature: 'a' }).json, { partition: 1, offset: 8 }),
    ]
    const records = published.map((json, offset) => {
      return { offset, key: null, value: Buffer.from(json), timestamp: Date.now(), headers: {} }
    })
    const transaction = await connect(own).begin('Write', writing)
    await write({ topic: 'verdicts', partition: 0, records, highWatermark: 4 }, async () => transaction)
    await transaction.commit()
    const history = await open(own)
    const points = await history.series('k', { points: 10 })
    expect(points.map(({ value }) => value)).to.deep.equal([1234567.25, 52, null, null])
    expect(JSON.parse((await history.result('e1'))!)).to.include(reference)
  })

  it('refuses what a former owner of a partition still writes', async () => {
    const own = settings()
    await migrate(connect(own), own.schema)
    const of = { topic: 'verdicts', partition: 0 }
    const recorder = () => {
      const [connection, upkeep] = [connect(own), connect(own)]
      const days = new PostgresDays(upkeep, { schema: own.schema, retentionDays: 30, log })
      const write = verdictWriter({ isOwn: () => true, schema: own.schema, days, keep: 'All', wall: Date.now })
      const recording = new PostgresRecording({
        ...{ connection, schema: own.schema, topic: of.topic, groupId: 'group', write },
        prepare: async () => {},
        onRecorded: () => {},
      })
      const commit = async (offset: number) => {
        const transaction = await (await recording.openProducer('group/verdicts/0')).begin()
        await transaction.sendOffsets('group', [{ ...of, offset }])
        await transaction.commit()
      }
      return { recording, commit }
    }
    const value = Buffer.from(judged(1).json)
    const records = [{ offset: 0, key: null, value, timestamp: Date.now(), headers: {} }]
    const [former, next] = [recorder(), recorder()]
    for (const { recording } of [former, next]) {
      await recording.assigned(of)
      await recording.batch({ ...of, records, highWatermark: 1 })
    }
    await next.commit(1)
    expect(await former.commit(1).catch((error) => error)).to.include({ failure: 'Fenced' })
    const rows = await postgres.sql(`SELECT event_id FROM ${own.schema}.verdicts`)
    expect(rows).to.deep.equal([{ event_id: 'e1' }])
  })

  it('finds an event, a key and a time by an index, in each partition', async () => {
    const own = settings()
    const history = await open(own)
    await history.record(
      Array.from({ length: 20_000 }, (_, i) => judged(i, { userId: `k${i % 1000}` })),
      [],
    )
    await postgres.sql(`ANALYZE ${own.schema}.verdicts`)
    for (const where of [
      `event_id = 'e7' ORDER BY id`,
      `key = 'k7' ORDER BY time DESC, id DESC`,
      'true ORDER BY time DESC, id DESC',
      `time < '2024-01-02' ORDER BY time DESC, id DESC`,
    ]) {
      const plan = await postgres.sql(`EXPLAIN SELECT verdict FROM ${own.schema}.verdicts WHERE ${where} LIMIT 100`)
      expect(JSON.stringify(plan), where)
        .to.match(/Index/)
        .and.not.match(/Seq Scan/)
    }
  })

  it('is read over TLS by who trusts the authority of the server, and by nobody else', async () => {
    const own = settings()
    await open(own)
    const through = (tls: object | undefined, url = postgres.url) => {
      const history = openHistory({ ...own, address: postgresAddressOf(url, tls) }, log)
      opened.push(history)
      return history.span().catch((error: Error) => error.message)
    }
    expect(await through({ ca: postgres.client!.ca })).to.equal(undefined)
    expect(await through({})).to.match(/Cannot connect: PostgreSQL, anomaly at .*: .*certificate/)
    expect(await through(undefined, `${postgres.url}?sslmode=require`)).to.match(/certificate/)
  })

  it('says in one line that there is no history yet', async () => {
    const history = openHistory(settings(), log)
    opened.push(history)
    expect(await history.result('e1').catch((error) => error)).to.include({
      code: 'Unavailable',
      message: `Cannot ask the history: PostgreSQL, anomaly at 127.0.0.1:${postgres.port}: relation "anomaly_shop_p${count - 1}.verdicts" does not exist; the recorder makes it when it starts`,
    })
  })
})
