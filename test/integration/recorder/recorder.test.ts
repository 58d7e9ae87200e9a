import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { type BreakableProxy, startBreakableProxy } from '../../../tools/servers/breakable-proxy.ts'
import { type Kafka, startKafka } from '../../../tools/servers/kafka/kafka.ts'
import { type PgBouncer, startPgBouncer } from '../../../tools/servers/pgbouncer.ts'
import { type Postgres, startPostgres } from '../../../tools/servers/postgres.ts'
import { random } from '../../../workloads/detection/random.ts'
import { episode } from '../../../workloads/history/history-suite.ts'
import { eventually } from '../../harness/eventually.ts'
import { startOtlpReceiver } from '../../harness/otlp-receiver.ts'
import { type RecorderProcess, type RecorderScene, recorderScene, verdicts } from './recorder-scene.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('The recorder', function () {
  this.timeout(600_000)
  let kafka: Kafka
  let postgres: Postgres
  let proxy: BreakableProxy
  const scenes: RecorderScene[] = []

  before(async () => {
    ;[kafka, postgres] = await Promise.all([startKafka(), startPostgres()])
    proxy = await startBreakableProxy(postgres.port)
  })
  after(() => Promise.all([kafka?.stop(), postgres?.stop(), proxy?.close()]))
  afterEach(async () => {
    for (const scene of scenes.splice(0)) await scene.stop()
  })

  async function newScene(options?: Parameters<typeof recorderScene>[2]): Promise<RecorderScene> {
    const scene = await recorderScene(kafka, postgres, options)
    scenes.push(scene)
    return scene
  }
  const recorded = (scene: RecorderScene, rows: number) =>
    eventually(async () => expect(await scene.count()).to.equal(rows))
  const ready = (recorder: RecorderProcess) =>
    eventually(async () =>
      expect(await recorder.readiness())
        .to.match(/ok$/m)
        .and.not.contain('failed'),
    )
  /** The address by way of the proxy. */
  const proxied = () => postgres.url.replace(`:${postgres.port}/`, `:${proxy.port}/`)

  it('writes verdicts and episodes, those of the pipeline, and counts what it leaves aside', async () => {
    const scene = await newScene()
    const recorder = await scene.start()
    await scene.send(verdicts(scene.name, 0, 1000))
    await scene.send(verdicts('another', 1000, 10))
    await scene.send([
      { key: 'k', value: 'no verdict' },
      { key: 'k', value: null },
    ])
    await scene.sendEpisodes([episode(1), episode(2), episode(1, { change: 'Closed', state: 'Closed', alerts: 3 })])
    await recorded(scene, 1000)
    await eventually(async () => {
      const { recorded, lag } = await recorder.status()
      expect(recorded).to.deep.equal({ verdict: 1000, episode: 3 })
      expect(lag).to.deep.equal({ verdict: { records: 0, seconds: 0 }, episode: { records: 0, seconds: 0 } })
    })
    for (const line of [
      'anomaly_record_rows_total{what="verdict"} 1000',
      'anomaly_record_omitted_total{reason="OtherPipeline"} 10',
      'anomaly_record_omitted_total{reason="Unreadable"} 2',
    ])
      await eventually(async () => expect(await recorder.metrics()).to.contain(line))
    expect(await scene.count()).to.equal(1000)
    const states = await postgres.sql(`SELECT episode_id, state FROM ${scene.schema}.episodes ORDER BY 1`)
    expect(states).to.deep.equal([
      { episode_id: 'e1', state: 'Closed' },
      { episode_id: 'e2', state: 'Open' },
    ])
    expect(await recorder.stop()).to.equal(0)
  })

  it('passes over a record that the database refuses, alone', async () => {
    const scene = await newScene({ partitions: 1 })
    const recorder = await scene.start()
    const [good] = verdicts(scene.name, 0, 1)
    // As text it is a verdict; its bytes are not UTF-8.
    const bad = Buffer.from((good!.value as string).replace('e0', 'e#'))
    bad[bad.indexOf('#')] = 0xff
    await scene.send([...verdicts(scene.name, 1, 500), { ...good!, value: bad }, ...verdicts(scene.name, 501, 500)])
    await recorded(scene, 1000)
    await eventually(async () =>
      expect(await recorder.metrics()).to.contain('anomaly_record_omitted_total{reason="Unrecordable"} 1'),
    )
  })

  it('keeps alerts alone where that is wanted', async () => {
    const scene = await newScene()
    await scene.start({ history: { keep: 'Alerts' } })
    await scene.send(verdicts(scene.name, 0, 1000))
    await recorded(scene, 10)
    expect(await scene.count('is_anomaly')).to.equal(10)
  })

  it('carries the trace of an event on to its row', async () => {
    const receiver = await startOtlpReceiver()
    try {
      const scene = await newScene()
      await scene.start({ flags: ['--otlp-endpoint', receiver.endpoint] })
      const traceId = '0af7651916cd43dd8448eb211c80319c'
      const [verdict] = verdicts(scene.name, 0, 1)
      await scene.send([
        { ...verdict!, headers: { ...verdict!.headers, traceparent: `00-${traceId}-b7ad6b7169203331-01` } },
      ])
      await recorded(scene, 1)
      await eventually(() => {
        const spans = receiver.spans.filter((span) => span.traceId === traceId)
        expect(spans.map(({ service, name }) => `${service}: ${name}`)).to.include('anomaly-recorder: record')
      })
    } finally {
      await receiver.stop()
    }
  })

  it('writes a row a verdict, whoever is killed, and whenever', async () => {
    const scene = await newScene()
    const chance = random('recorder kills')
    const start = () => scene.start({ url: proxied() })
    const recorders = [await start(), await start()]
    let sent = 0
    const send = async () => {
      // Two records of one event are two verdicts.
      const records = verdicts(scene.name, sent, 400)
      await scene.send(records)
      sent += records.length
    }
    const faults = [
      async () => {
        const which = chance.int(2)
        await recorders[which]!.kill()
        await send()
        recorders[which] = await start()
      },
      async () => {
        await postgres.crash()
        await send()
        await postgres.start()
      },
      async () => {
        await postgres.halt()
        await send()
        await postgres.start()
      },
      async () => {
        proxy.drop()
        await send()
        proxy.accept()
      },
      async () => {
        recorders[0]!.pause()
        await delay(chance.int(15_000))
        recorders[0]!.resume()
      },
    ]
    for (let round = 0; round < 15; round++) {
      await send()
      await delay(chance.int(1500))
      await faults[round % faults.length]!()
    }
    await recorded(scene, sent)
    const [row] = await postgres.sql(
      `SELECT count(DISTINCT event_id)::int AS events, max(id)::int >= count(*)::int AS grows FROM ${scene.schema}.verdicts`,
    )
    expect(row).to.deep.equal({ events: sent, grows: true })
    for (const recorder of recorders) await ready(recorder)
    expect(await scene.count()).to.equal(sent)
  })

  it('says why it cannot write, and since when, while detection does not notice; and goes on by itself', async () => {
    const scene = await newScene()
    const recorder = await scene.start()
    await scene.send(verdicts(scene.name, 0, 100))
    await recorded(scene, 100)
    await postgres.halt()
    try {
      await scene.send(verdicts(scene.name, 100, 100))
      await eventually(async () => {
        const { problem, lag } = await recorder.status()
        expect(problem).to.match(
          /^Cannot connect: PostgreSQL, anomaly at 127\.0\.0\.1:\d+: .*ECONNREFUSED.* \(since 20.*Z\)$/,
        )
        expect(lag.verdict.records).to.equal(100)
        expect(lag.verdict.seconds).to.be.above(0)
      })
      expect(await recorder.readiness()).to.contain('[-]history failed: Cannot connect: PostgreSQL')
    } finally {
      await postgres.start()
    }
    await recorded(scene, 200)
    await ready(recorder)
  })

  it('waits out a server that hangs', async () => {
    const scene = await newScene()
    const recorder = await scene.start({ url: proxied() })
    await scene.send(verdicts(scene.name, 0, 100))
    await recorded(scene, 100)
    proxy.stall()
    try {
      await scene.send(verdicts(scene.name, 100, 100))
      await eventually(async () => expect((await recorder.status()).problem).to.match(/no answer|timeout/))
      expect(await recorder.liveness()).to.match(/ok$/m)
    } finally {
      proxy.flow()
    }
    await recorded(scene, 200)
    await ready(recorder)
  })

  it('records through a pooler, whatever becomes of it, and says which of its modes is of no use', async () => {
    const poolers = [await startPgBouncer(postgres.url, 'transaction'), await startPgBouncer(postgres.url, 'statement')]
    const [pooler, refused] = poolers as [PgBouncer, PgBouncer]
    try {
      const scene = await newScene()
      const recorders = [await scene.start({ url: pooler.url }), await scene.start({ url: pooler.url })]
      await scene.send(verdicts(scene.name, 0, 1000))
      await recorded(scene, 1000)
      await recorders[0]!.kill()
      await scene.send(verdicts(scene.name, 1000, 1000))
      await recorded(scene, 2000)
      await ready(recorders[1]!)
      const hopeless = await scene.start({ url: refused.url })
      await eventually(async () =>
        expect((await hopeless.status()).problem).to.match(/transaction blocks not allowed in statement pooling mode/),
      )
    } finally {
      for (const one of poolers) await one.stop()
    }
  })

  it('fills a database again that was set back, or emptied', async () => {
    const scene = await newScene()
    await scene.start()
    await scene.send(verdicts(scene.name, 0, 500))
    await recorded(scene, 500)
    const copy = `CREATE TABLE public.before AS SELECT * FROM ${scene.schema}.positions`
    await postgres.sql(copy)
    await scene.send(verdicts(scene.name, 500, 500))
    await recorded(scene, 1000)
    // As a backup of then would be.
    await postgres.sql(
      `BEGIN; DELETE FROM ${scene.schema}.verdicts WHERE substr(event_id, 2)::int >= 500; DELETE FROM ${scene.schema}.positions;
       INSERT INTO ${scene.schema}.positions SELECT * FROM public.before; DROP TABLE public.before; COMMIT`,
    )
    await scene.send(verdicts(scene.name, 1000, 200))
    await recorded(scene, 1200)
    await postgres.sql(`DROP SCHEMA ${scene.schema} CASCADE`)
    await scene.send(verdicts(scene.name, 1200, 200))
    await recorded(scene, 1400)
  })

  it('says in one line what is wrong with the address, the login or the database', async () => {
    const scene = await newScene()
    const said = async (url: string, flags: readonly string[] = [], history = {}) => {
      const recorder = await scene.start({ url, flags, history })
      let line = ''
      await eventually(async () => {
        const { problem, lag } = await recorder.status()
        line = problem
        expect(line).to.match(/^Cannot .*PostgreSQL.*\(since/)
        expect(lag.verdict.seconds).to.be.above(0)
      })
      await recorder.stop()
      return line
    }
    expect(await said(postgres.url.replace('se%2Fcret', 'wrong'))).to.match(
      /user anomaly: password authentication failed for user "anomaly"; the password in the Secret is another/,
    )
    expect(await said(postgres.url.replace(/anomaly$/, 'nowhere'))).to.match(
      /database "nowhere" does not exist; create the database/,
    )
    expect(await said(`${postgres.url}?sslmode=require`)).to.match(/does not support SSL/)
    await postgres.sql('CREATE DATABASE standby OWNER anomaly; ', { database: 'postgres' })
    await postgres.sql('ALTER DATABASE standby SET default_transaction_read_only = on', { database: 'postgres' })
    expect(await said(postgres.url.replace(/anomaly$/, 'standby'))).to.match(
      /read-only transaction; it is a standby or read-only; the address must be that of the primary/,
    )
    await postgres.sql('CREATE DATABASE foreign_one', { database: 'postgres' })
    expect(await said(postgres.url.replace(/anomaly$/, 'foreign_one'))).to.match(
      /permission denied for database foreign_one; grant the user CREATE on the database/,
    )
  })
})
