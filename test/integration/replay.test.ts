import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { openAdmin } from '../../lib/kafka/admin.ts'
import { connectProducer } from '../../lib/kafka/producer.ts'
import { readTopic } from '../../lib/kafka/read-topic.ts'
import { createLogger } from '../../lib/log.ts'
import { type Kafka, kafkaUser, startKafka } from '../../tools/servers/kafka/kafka.ts'
import { eventually } from '../harness/eventually.ts'

const anomaly = join(import.meta.dirname, '../../bin/anomaly')
const skipped = process.env.SKIP_INTEGRATION === '1'

;(skipped ? describe.skip : describe)('anomaly replay into Kafka', () => {
  const folder = mkdtempSync(join(tmpdir(), 'anomaly-replay-'))
  let kafka: Kafka

  before(async () => {
    kafka = await startKafka({ secured: true })
  })
  after(async () => {
    await kafka?.stop()
    rmSync(folder, { recursive: true })
  })

  const settings = async () => ({
    brokers: kafka.brokers,
    clientId: 'test',
    log: await createLogger({ level: 'silent' }),
  })

  async function createTopic(topic: string): Promise<void> {
    const admin = openAdmin(await settings())
    await admin.createMissingTopics([{ topic, partitions: 3 }])
    admin.close()
  }

  async function recordsOf(topic: string) {
    let records: { readonly key: string | undefined; readonly event: Record<string, unknown> }[] = []
    const reading = await settings()
    // A broker that has just begun refuses its first readers: nobody coordinates groups yet.
    await eventually(async () => {
      records = []
      await readTopic(reading, topic, (batch) => {
        for (const { key, value } of batch.records)
          records.push({ key: key?.toString(), event: JSON.parse(String(value)) as Record<string, unknown> })
      })
    })
    return records
  }

  function fileOf(name: string, text: string): string {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }

  const replay = (...args: string[]) => promisify(execFile)(anomaly, ['replay', ...args])
  const simulation = ['--simulate', '--events', '2500', '--topic']

  it('puts each simulated payment into the topic once, by its key', async () => {
    await createTopic('payments')
    const { stderr } = await replay(...simulation, 'payments', '--brokers', kafka.brokers.join(','))
    const [, prefix] = /\nsent 2500 events, their ids begin with (\S+)\n$/.exec(stderr)!
    const records = await recordsOf('payments')
    expect(records.map(({ key }) => key)).to.deep.equal(records.map(({ event }) => event.userId))
    expect(records.map(({ event }) => event.eventId)).to.have.members(
      Array.from({ length: 2500 }, (_, i) => `${prefix}${i + 1}`),
    )
  })

  it('takes the key from where events nest it', async () => {
    await createTopic('nested')
    const file = fileOf('nested.jsonl', '{"user":{"id":"a"},"value":1}\n{"user":{"id":7}}\n{"user":null}\n')
    await replay('--input', file, '--topic', 'nested', '--key', 'user.id', '--brokers', kafka.brokers.join(','))
    expect((await recordsOf('nested')).map(({ key }) => key)).to.have.members(['a', '7', undefined])
  })

  const verdictOf = (eventId: string, isAnomaly: boolean) =>
    JSON.stringify({ eventId, userId: 'u', timestamp: 0, isAnomaly, anomalyScore: 0.5, reasons: [], scores: {} })

  it('ends with how many of its events were judged and alerted', async () => {
    await createTopic('judged')
    await createTopic('judged-verdicts')
    const events = ['{"eventId":"a","userId":"u"}', '{"eventId":1524831183200260097,"userId":"u"}', '{"userId":"u"}']
    const file = fileOf('judged.jsonl', events.join('\n'))
    const topics = ['--topic', 'judged', '--results', 'judged-verdicts']
    const replayed = replay('--input', file, ...topics, '--brokers', kafka.brokers.join(','))
    await eventually(async () => expect(await recordsOf('judged')).to.have.lengthOf(3))
    const producer = await connectProducer(await settings())
    const verdicts = [verdictOf('another', true), verdictOf('1524831183200260097', true)]
    verdicts.push(verdictOf('a', false), verdictOf('judged-0-0', false), 'no verdict')
    await producer.send(verdicts.map((value) => ({ topic: 'judged-verdicts', key: 'u', value })))
    await producer.close()
    expect((await replayed).stderr).to.match(/\n3 of 3 events judged, 1 alert\n$/)
  })

  it('leaves the verdicts to anomaly watch, which prints them as they come', async () => {
    await createTopic('watched-verdicts')
    const pipeline = fileOf(
      'watched.yaml',
      `apiVersion: anomaly.com/v1alpha1\nkind: AnomalyPipeline\nmetadata: {name: watched}\nspec: {source: {brokers: ["${kafka.brokers[0]}"]}, results: {topic: watched-verdicts}}\n`,
    )
    const watch = spawn(anomaly, ['watch', '-f', pipeline, '--alerts'])
    let [stdout, stderr] = ['', '']
    watch.stdout.on('data', (chunk) => (stdout += chunk))
    watch.stderr.on('data', (chunk) => (stderr += chunk))
    await eventually(async () => expect(stderr).to.include('watching watched-verdicts'))
    const producer = await connectProducer(await settings())
    const verdicts = [verdictOf('a', false), verdictOf('b', true)]
    await producer.send(verdicts.map((value) => ({ topic: 'watched-verdicts', key: 'u', value })))
    await producer.close()
    await eventually(async () => expect(stdout).to.not.equal(''))
    watch.kill('SIGINT')
    const [code] = await once(watch, 'exit')
    expect(code).to.equal(0)
    expect(stdout.trim().split('\n')).to.have.lengthOf(1)
    expect(stderr).to.match(/2 verdicts, 1 alert\n$/)
  })

  it('logs in over TLS with the flags that the other commands have', async () => {
    await createTopic('secured')
    const { saslTls, tls } = kafka.secured!
    const login = [
      ...['--kafka-ca-file', fileOf('ca.crt', tls.ca), '--kafka-sasl-mechanism', 'ScramSha512'],
      ...['--kafka-username-file', fileOf('username', kafkaUser.username)],
      ...['--kafka-password-file', fileOf('password', `${kafkaUser.password}\n`)],
    ]
    await replay(...simulation, 'secured', '--brokers', saslTls.join(','), ...login)
    expect(await recordsOf('secured')).to.have.lengthOf(2500)
  })

  it('proves who it is with a certificate', async () => {
    await createTopic('mutual')
    const { mutualTls, tls } = kafka.secured!
    const files = [
      ...['--kafka-ca-file', fileOf('ca.crt', tls.ca), '--kafka-cert-file', fileOf('tls.crt', tls.cert)],
      ...['--kafka-key-file', fileOf('tls.key', tls.key)],
    ]
    await replay(...simulation, 'mutual', '--brokers', mutualTls.join(','), ...files)
    expect(await recordsOf('mutual')).to.have.lengthOf(2500)
  })

  it('names the topic that is missing, and creates none', async () => {
    const failed = await replay(...simulation, 'absent', '--brokers', kafka.brokers.join(',')).catch((error) => error)
    expect(failed.stderr).to.equal(`anomaly: --topic: ${kafka.brokers.join(',')} has no topic absent\n`)
  })
})
