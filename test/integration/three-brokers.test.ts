import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { connectProducer, type KafkaProducer } from '../../lib/kafka/producer.ts'
import { readTopic } from '../../lib/kafka/read-topic.ts'
import { createLogger } from '../../lib/log.ts'
import type { KafkaServers } from '../../tools/servers/kafka/kafka.ts'
import { eventually } from '../harness/eventually.ts'
import { startThreeBrokers } from '../harness/three-brokers.ts'

const patience = 180_000
const log = await createLogger({ level: 'silent' })

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('On three brokers', function () {
  this.timeout(900_000)
  let kafka: KafkaServers
  const members: ChildProcess[] = []
  before(async () => {
    kafka = await startThreeBrokers()
  })
  after(async () => {
    for (const member of members) member.kill('SIGKILL')
    await kafka?.stop()
  })

  it('nothing is lost or repeated when a broker and a consumer are killed at once, each broker in its turn', async () => {
    const settings: KafkaSettings = { brokers: kafka.brokers, clientId: 'test', log }
    const admin = openAdmin(settings, { timeoutMs: 60_000 })
    await eventually(
      () => admin.createMissingTopics(['events', 'results'].map((topic) => ({ topic, partitions: 4 }))),
      patience,
    )
    const start = (): ChildProcess => {
      const args = [kafka.brokers.join(), 'events', 'results', 'group', '6000']
      const member = fork(new URL('./kafka-client/member.ts', import.meta.url), args)
      members.push(member)
      return member
    }
    let victim = start()
    start()

    // Sends are repeated until they are acknowledged; under the same number a reader knows a repetition.
    let sent = 0
    let isOver = false
    const feeding = (async () => {
      let producer: KafkaProducer | undefined
      while (!isOver) {
        const values = Array.from({ length: 50 }, (_, i) => String(sent + i))
        try {
          producer ??= await connectProducer(settings)
          await producer.send(values.map((value) => ({ topic: 'events', key: `key-${Number(value) % 20}`, value })))
          sent += values.length
        } catch {
          await producer?.close()
          producer = undefined
        }
        await delay(50)
      }
      await producer?.close()
    })()

    for (const node of kafka.nodes) {
      const from = sent
      await eventually(() => expect(sent).to.be.at.least(from + 500), patience)
      victim.kill('SIGKILL')
      await node.kill()
      victim = start()
      await delay(5000)
      await node.start()
    }
    isOver = true
    await feeding
    await eventually(async () => {
      const lag = await admin.lag('group', 'events')
      expect([...lag.values()]).to.deep.equal([0, 0, 0, 0])
    }, patience)
    admin.close()

    const valuesOf = async (topic: string): Promise<Map<string, string[]>> => {
      const values = new Map<string, string[]>()
      await readTopic(
        settings,
        topic,
        ({ records }) => {
          for (const { key, value } of records)
            values.set(String(key), [...(values.get(String(key)) ?? []), String(value)])
        },
        { signal: AbortSignal.timeout(patience) },
      )
      return values
    }
    const [events, results] = [await valuesOf('events'), await valuesOf('results')]
    expect([...events.values()].flat().length).to.be.at.least(sent)
    expect(results).to.deep.equal(events)
  })
})
