import { once } from 'node:events'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { Registry } from 'prom-client'
import { openAdmin } from '../lib/kafka/admin.ts'
import { connectProducer } from '../lib/kafka/producer.ts'
import type { OutgoingRecord } from '../lib/kafka/records.ts'
import { run } from '../lib/lifecycle.ts'
import { createLogger } from '../lib/log.ts'
import { parsePipeline } from '../lib/pipeline/parse-pipeline.ts'
import { startKafka } from '../tools/servers/kafka/kafka.ts'
import { startPostgres } from '../tools/servers/postgres.ts'
import { random } from '../workloads/detection/random.ts'
import type { Verdict } from '../workloads/detection/verdict.ts'
import { historyDuty } from '../workloads/recorder/history-duty.ts'
import { historySettingsOf } from '../workloads/settings/history-settings.ts'
import { pipelineHeader } from '../workloads/wire/pipeline-header.ts'
import { verdictJson } from '../workloads/wire/verdict-bytes.ts'
import { spread } from './spread.ts'

/**
 * Verdicts a second from a topic of Kafka into PostgreSQL as it comes, with all indexes, against psql's way of COPY: the
 * same rows, made beforehand, as text, by one session into a table with the same indexes, a transaction as large; turns
 * in the same servers.
 */

const rounds = 3
const verdicts = 100_000
const partitions = 4
/** As the recorder's, where it has something to catch up with. */
const rowsPerTransaction = 8000

const log = await createLogger({ level: 'error' })
const [kafka, postgres] = await Promise.all([startKafka(), startPostgres()])
const settings = { brokers: kafka.brokers, clientId: 'bench', log }
const chance = random('history')
const began = Date.now() - verdicts

const verdictOf = (i: number): Verdict => ({
  eventId: `${chance.int(2 ** 30).toString(16)}-${chance.int(2 ** 30).toString(16)}-${i}`,
  userId: `user-${chance.int(10_000)}`,
  timestamp: began + i,
  isAnomaly: i % 1000 === 0,
  anomalyScore: chance.next(),
  threshold: 0.99912,
  confidence: 0.987654,
  modelVersion: 'v12-3fa9c1',
  reasons: [{ detector: 'profile', feature: 'value', observed: 100 * chance.next(), expected: 48.2, contribution: 1 }],
  scores: { profile: chance.next(), forest: chance.next() },
  value: Math.round(10_000 * chance.next()) / 100,
  partition: i % 12,
  offset: 10_000_000 + i,
})
const all = Array.from({ length: verdicts }, (_, i) => {
  const verdict = verdictOf(i)
  return { verdict, json: verdictJson(verdict, 1.25) }
})

/** Rows a second from the first commit to the last: joining a group takes seconds, whatever there is to read. */
async function recorded(round: number): Promise<{ readonly perSecond: number; readonly microseconds: number }> {
  const pipeline = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: `bench${round}` },
    spec: { source: { brokers: kafka.brokers }, history: { postgres: { urlSecretRef: { name: 'a', key: 'b' } } } },
  })
  const { topic } = pipeline.spec.results
  const admin = openAdmin(settings)
  await admin.createMissingTopics([{ topic, partitions }])
  admin.close()
  const producer = await connectProducer(settings)
  const headers = pipelineHeader(pipeline.metadata.name)
  const records = all.map(({ verdict, json }): OutgoingRecord => ({ topic, key: verdict.userId, value: json, headers }))
  for (let from = 0; from < verdicts; from += 1000) await producer.send(records.slice(from, from + 1000))
  await producer.close()

  const history = historySettingsOf(pipeline, { postgresUrl: postgres.url })!
  const duty = historyDuty({ pipeline, kafka: settings, history, registry: new Registry(), log })
  const stop = new AbortController()
  const rows = () => (duty.status() as { readonly recorded: { readonly verdict: number } }).recorded.verdict
  const running = run(duty.parts, { log, stop })
  let [firstAt, firstRows, firstCpu] = [0, 0, process.cpuUsage()]
  while (rows() < verdicts) {
    if (firstRows === 0) [firstAt, firstRows, firstCpu] = [performance.now(), rows(), process.cpuUsage()]
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const perSecond = (verdicts - firstRows) / ((performance.now() - firstAt) / 1000)
  const { user, system } = process.cpuUsage(firstCpu)
  const microseconds = (user + system) / (verdicts - firstRows)
  stop.abort()
  await running
  const [counted] = await postgres.sql(`SELECT count(*)::int AS rows FROM ${history.schema}.verdicts`)
  if (counted!.rows !== verdicts) throw new Error(`Cannot use this run: ${counted!.rows} rows of ${verdicts} verdicts`)
  return { perSecond, microseconds }
}

/** Rows of a partition that a round has filled, as COPY writes them as text. */
async function textOfRows(schema: string): Promise<Buffer[]> {
  const rows = await postgres.sql(
    `SELECT concat_ws(E'\\t', id, published, time, score, threshold, coalesce(value::text, '\\N'), coalesce(expected::text, '\\N'), is_anomaly,
       event_id, key, feature, replace(verdict::text, '\\', '\\\\'), '\\N') AS line FROM ${schema}.verdicts ORDER BY id`,
  )
  const parts: Buffer[] = []
  for (let from = 0; from < rows.length; from += rowsPerTransaction)
    parts.push(
      Buffer.from(
        rows
          .slice(from, from + rowsPerTransaction)
          .map(({ line }) => `${line}\n`)
          .join(''),
      ),
    )
  return parts
}

async function copied(schema: string, parts: readonly Buffer[]): Promise<number> {
  await postgres.sql(
    `CREATE TABLE public.copied (LIKE ${schema}.verdicts INCLUDING INDEXES); ALTER TABLE public.copied OWNER TO anomaly`,
  )
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  const start = performance.now()
  for (const part of parts) {
    const copy = client.query(copyFrom('COPY public.copied FROM STDIN'))
    const done = once(copy, 'finish')
    copy.end(part)
    await done
  }
  const perSecond = verdicts / ((performance.now() - start) / 1000)
  await client.end()
  await postgres.sql('DROP TABLE public.copied')
  return perSecond
}

try {
  await recorded(0)
  const parts = await textOfRows('anomaly_default_bench0')
  await copied('anomaly_default_bench0', parts)
  const runs: { readonly recorder: Awaited<ReturnType<typeof recorded>>; readonly copy: number }[] = []
  for (let round = 1; round <= rounds; round++) {
    const recorder = await recorded(round)
    const copy = await copied('anomaly_default_bench0', parts)
    runs.push({ recorder, copy })
    await postgres.sql(`DROP SCHEMA anomaly_default_bench${round} CASCADE; CHECKPOINT`)
  }
  console.log(
    JSON.stringify({
      bench: 'history',
      ratio: spread(runs.map(({ recorder, copy }) => recorder.perSecond / copy)),
      recorder: {
        verdictsPerSecond: spread(runs.map(({ recorder }) => recorder.perSecond)),
        cpuMicrosecondsPerVerdict: spread(runs.map(({ recorder }) => recorder.microseconds)),
      },
      baseline: `COPY of the same rows as text, ${rowsPerTransaction} a transaction, into a table with the same indexes`,
      copy: { rowsPerSecond: spread(runs.map(({ copy }) => copy)) },
      verdicts,
      bytesPerVerdict: Math.round(all.reduce((sum, { json }) => sum + json.length, 0) / verdicts),
      partitions,
      rounds,
    }),
  )
} finally {
  await Promise.all([kafka.stop(), postgres.stop()])
}
