import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { openAdmin } from '../../lib/kafka/admin.ts'
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
