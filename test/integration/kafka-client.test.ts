import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { connectProducer } from '../../lib/kafka/producer.ts'
import { readTopic } from '../../lib/kafka/read-topic.ts'
import type { KafkaRecord, OutgoingRecord, TopicPartition } from '../../lib/kafka/records.ts'
import { transactionalProducers } from '../../lib/kafka/transactional-producer.ts'
import type { Logger } from '../../lib/log.ts'
import { type Kafka, kafkaUser, startKafka } from '../../tools/servers/kafka/kafka.ts'
import { kafkaApi } from '../../tools/servers/proxy.ts'
import { type ExactlyOnce, type ExactlyOnceOptions, runExactlyOnce } from '../../workloads/streams/exactly-once.ts'
import type { PartitionHandler } from '../../workloads/streams/partition-handler.ts'
import { transactionalId } from '../../workloads/streams/transactional-id.ts'
import { eventually as untilTrue } from '../harness/eventually.ts'

const verbose = process.env.VERBOSE === '1'
const log: Logger = {
  debug: () => {},
  info: (fields, message) => verbose && console.error('info', message, JSON.stringify(fields)),
  warn: (fields, message) => verbose && console.error('warn', message, JSON.stringify(fields)),
  error: (fields, message) => verbose && console.error('error', message, JSON.stringify(fields)),
}

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Kafka client', () => {
  let kafka: Kafka
  let count = 0
  const running: ExactlyOnce[] = []

  before(async () => {
    kafka = await startKafka({ proxied: true, secured: true })
  })
  after(() => kafka?.stop())
  afterEach(async () => {
    kafka.proxy!.accept()
    kafka.proxy!.flow()
    await Promise.all(running.splice(0).map((loop) => loop.stop()))
  })

  const settings = (brokers = kafka.brokers): KafkaSettings => ({ brokers, clientId: 'test', log })

  /** Topics of a test's own, with as many events as given. */
  async function topics(events: number, partitions = 4): Promise<{ source: string; results: string; group: string }> {
    const id = ++count
    const names = { source: `events-${id}`, results: `results-${id}`, group: `group-${id}` }
    const admin = openAdmin(settings())
    await admin.createMissingTopics([
      { topic: names.source, partitions },
      { topic: names.results, partitions },
    ])
    admin.close()
    if (events > 0) await produce(names.source, 0, events)
    return names
  }

  /** Events `from` to `to` with 50 keys, in order. */
  async function produce(topic: string, from: number, to: number): Promise<void> {
    const producer = await connectProducer(settings())
    const event = (i: number): OutgoingRecord => ({
      topic,
      key: `user-${i % 50}`,
      value: JSON.stringify({ id: i, pad: 'x'.repeat(300) }),
    })
    for (let i = from; i < to; i += 1000) {
      await producer.send(Array.from({ length: Math.min(1000, to - i) }, (_, j) => event(i + j)))
    }
    await producer.close()
  }

  async function read(topic: string): Promise<(KafkaRecord & TopicPartition)[]> {
    const records: (KafkaRecord & TopicPartition)[] = []
    await readTopic(
      settings(),
      topic,
      (batch) => {
        for (const record of batch.records) records.push({ ...record, topic, partition: batch.partition })
      },
      { signal: AbortSignal.timeout(20_000) },
    )
    return records
  }

  interface Learner extends PartitionHandler {
    /** Records that became real, by partition: what this process has learnt. */
    readonly learnt: Map<number, number>
    readonly counts: { assigned: number; batches: number; dropped: number; released: number; revoked: number }
  }

  /** Gives one result a record, with how many of its partition were learnt before: right only if staged state follows the commits. */
  function learner(
    results: string,
    overrides: Partial<PartitionHandler> & { readonly publish?: boolean } = {},
  ): Learner {
    const learnt = new Map<number, number>()
    const staged = new Map<number, number>()
    const counts = { assigned: 0, batches: 0, dropped: 0, released: 0, revoked: 0 }
    const { publish = true, ...rest } = overrides
    return {
      learnt,
      counts,
      assigned: async () => void counts.assigned++,
      batch: async ({ partition, records }) => {
        counts.batches++
        let n = staged.get(partition) ?? learnt.get(partition) ?? 0
        const outgoing = records.map(({ key, value, offset }) => ({
          topic: results,
          key,
          value: JSON.stringify({
            id: JSON.parse(String(value)).id,
            partition,
            offset,
            learnt: n++,
            pad: 'y'.repeat(300),
          }),
        }))
        staged.set(partition, n)
        return publish ? outgoing : []
      },
      committed: ({ partition }) => {
        if (staged.has(partition)) learnt.set(partition, staged.get(partition)!)
        staged.delete(partition)
      },
      dropped: ({ partition }) => {
        counts.dropped++
        staged.delete(partition)
      },
      releasing: async () => void counts.released++,
      revoked: ({ partition }) => {
        counts.revoked++
        staged.delete(partition)
      },
      tooLarge: (record) => ({ ...record, value: 'too large' }),
      unprocessable: ({ key, value }) => ({ topic: 'dead-letters', key, value }),
      setAside: () => {},
      ...rest,
    }
  }

  function run(
    names: { source: string; group: string },
    handler: PartitionHandler,
    options: Partial<ExactlyOnceOptions> & { readonly brokers?: readonly string[] } = {},
  ): ExactlyOnce {
    const { brokers, ...rest } = options
    const loop = runExactlyOnce(settings(brokers), {
      topic: names.source,
      groupId: names.group,
      startFrom: 'Earliest',
      handler,
      onOffsetLost: () => expect.fail('lost offsets'),
      metadataMaxAgeMs: 1000,
      ...rest,
    })
    running.push(loop)
    return loop
  }

  const eventually = (what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 60_000): Promise<void> =>
    untilTrue(async () => expect(await holds(), what).to.equal(true), timeoutMs)

  async function caughtUp(names: { source: string; group: string }): Promise<void> {
    const admin = openAdmin(settings())
    await eventually('the group has read everything', async () => {
      const lag = await admin.lag(names.group, names.source)
      return [...lag.values()].every((n) => n === 0)
    })
    admin.close()
  }

  interface Result {
    readonly id: number
    readonly partition: number
    readonly offset: number
    readonly learnt: number
  }

  /** Each event has one result, results of a key are in the order of its events. */
  async function expectExact(names: { results: string }, events: number): Promise<Result[]> {
    const results = (await read(names.results)).map((record) => ({
      key: String(record.key),
      result: JSON.parse(String(record.value)) as Result,
    }))
    const ids = results.map(({ result }) => result.id).sort((a, b) => a - b)
    expect(ids.length, 'results').to.equal(events)
    expect(new Set(ids).size, 'distinct results').to.equal(events)
    const last = new Map<string, number>()
    for (const { key, result } of results) {
      expect(result.id, `order of ${key}`).to.be.greaterThan(last.get(key) ?? -1)
      last.set(key, result.id)
    }
    return results.map(({ result }) => result)
  }

  /** The state that one process staged was promoted exactly when its results were published. */
  function expectLearntInStep(results: readonly Result[], handler: Learner): void {
    const byPartition = Map.groupBy(results, ({ partition }) => partition)
    for (const [partition, list] of byPartition) {
      list.sort((a, b) => a.offset - b.offset)
      expect(list.map(({ learnt }) => learnt)).to.deep.equal(list.map((_, i) => i))
      expect(handler.learnt.get(partition)).to.equal(list.length)
    }
  }

  it('publishes one result for each event, in the order of each key', async () => {
    const names = await topics(10_000)
    const handler = learner(names.results)
    run(names, handler)
    await caughtUp(names)
    expectLearntInStep(await expectExact(names, 10_000), handler)
    expect(handler.counts.dropped).to.equal(0)
  })

  it('commits offsets alone where nothing is published', async () => {
    const names = await topics(5000)
    const handler = learner(names.results, { publish: false })
    run(names, handler)
    await caughtUp(names)
    expect([...handler.learnt.values()].reduce((a, b) => a + b, 0)).to.equal(5000)
    expect(handler.counts.dropped).to.equal(0)
    expect(await read(names.results)).to.deep.equal([])
  })

  for (const api of [
    'InitProducerId',
    'AddPartitionsToTxn',
    'Produce',
    'AddOffsetsToTxn',
    'TxnOffsetCommit',
    'EndTxn',
  ] as const) {
    it(`stays exact when replies to ${api} are lost`, async () => {
      const names = await topics(2000)
      const handler = learner(names.results)
      const proxy = kafka.proxy!
      const first = proxy.cutReply(kafkaApi[api], 2)
      run(names, handler, { brokers: proxy.brokers })
      await first
      for (let round = 1; round <= 3; round++) {
        const cut = api === 'InitProducerId' ? Promise.resolve() : proxy.cutReply(kafkaApi[api], 2)
        await produce(names.source, 2000 * round, 2000 * (round + 1))
        await Promise.all([cut, caughtUp(names)])
      }
      expectLearntInStep(await expectExact(names, 8000), handler)
    })
  }

  it('stays exact when replies of every kind are cut, lie about their size or have wrong records', async () => {
    const names = await topics(1000)
    const proxy = kafka.proxy!
    const sized = (reply: Buffer, size: number): Buffer => {
      const lie = Buffer.from(reply)
      lie.writeInt32BE(size)
      return lie
    }
    const damages: readonly ((reply: Buffer) => Buffer)[] = [
      (reply) => reply.subarray(0, Math.floor(reply.length / 2)),
      (reply) => reply.subarray(0, 3),
      (reply) => sized(reply, -5),
      (reply) => sized(reply, 2 ** 31 - 1),
    ]
    let produced = 1000
    for (const [round, damage] of damages.entries()) {
      const loop = run(names, learner(names.results), { brokers: proxy.brokers })
      for (const api of Object.values(kafkaApi)) proxy.damageReply(api, damage)
      // one bit of a value
      const flipped = (reply: Buffer): Buffer => {
        const flip = Buffer.from(reply)
        if (flip.length > 400) flip[flip.length - 100]! ^= 1
        return flip
      }
      // the rest never comes: what waits for it is given up after its time
      if (round === 0) proxy.damageReply(kafkaApi.Fetch, (reply) => sized(reply, reply.length + 500))
      await produce(names.source, produced, produced + 300)
      produced += 300
      if (round % 2 === 0) for (let i = 0; i < 2; i++) proxy.damageReply(kafkaApi.Fetch, flipped)
      await caughtUp(names)
      if (round % 3 === 2) await loop.stop()
    }
    await expectExact(names, produced)
  })

  it('drops what it staged when another producer has fenced it, and joins anew', async () => {
    const names = await topics(1000)
    const handler = learner(names.results)
    const loop = run(names, handler)
    await caughtUp(names)
    const before = handler.counts.assigned
    const intruders = await Promise.all(
      [0, 1, 2, 3].map((partition) =>
        transactionalProducers(settings())(transactionalId(names.group, names.source, partition)),
      ),
    )
    await produce(names.source, 1000, 2000)
    await caughtUp(names)
    for (const intruder of intruders) intruder.discard()
    expectLearntInStep(await expectExact(names, 2000), handler)
    expect(handler.counts.dropped).to.be.greaterThan(0)
    expect(handler.counts.assigned).to.be.greaterThan(before)
    await eventually('it reads again', () => loop.ready())
  })

  it('does not go back behind what was acknowledged, even where the broker has forgotten it', async () => {
    const names = await topics(1000, 1)
    const handler = learner(names.results)
    run(names, handler)
    await caughtUp(names)
    const intruder = await transactionalProducers(settings())(transactionalId(names.group, names.source, 0))
    const transaction = await intruder.begin()
    await transaction.sendOffsets(names.group, [{ topic: names.source, partition: 0, offset: 0 }])
    await transaction.commit()
    intruder.discard()
    await produce(names.source, 1000, 2000)
    await caughtUp(names)
    expectLearntInStep(await expectExact(names, 2000), handler)
    expect(handler.counts.dropped).to.be.greaterThan(0)
  })

  it('hands partitions over when members come and go', async () => {
    const names = await topics(0)
    const [a, b] = [learner(names.results), learner(names.results)]
    const first = run(names, a)
    await produce(names.source, 0, 3000)
    await eventually('the first reads', () => first.ready())
    const second = run(names, b)
    await produce(names.source, 3000, 6000)
    await eventually('both own partitions', () => first.lag().size === 2 && second.lag().size === 2)
    await produce(names.source, 6000, 9000)
    await first.stop()
    await produce(names.source, 9000, 12_000)
    await caughtUp(names)
    await expectExact(names, 12_000)
    expect(second.lag().size).to.equal(4)
    expect(a.counts.released).to.be.greaterThan(0)
    expect(a.counts.revoked).to.be.greaterThan(0)
  })

  it('reads partitions that are added later from their first record', async () => {
    const names = await topics(0, 2)
    const loop = run(names, learner(names.results), { startFrom: 'Latest' })
    await eventually('it reads', () => loop.ready())
    await kafka.tool('org.apache.kafka.tools.TopicCommand', [
      ...['--bootstrap-server', kafka.brokers[0]!, '--alter', '--topic', names.source, '--partitions', '4'],
    ])
    await produce(names.source, 0, 2000)
    await eventually('it owns four', () => loop.lag().size === 4)
    await caughtUp(names)
    expect((await read(names.results)).length).to.equal(2000)
  })

  it('counts as the lag of a group that never read what it is about to read', async () => {
    const names = await topics(1000)
    const admin = openAdmin(settings())
    const lagOf = async (...args: Parameters<typeof admin.lag>) =>
      [...(await admin.lag(...args)).values()].reduce((sum, part) => sum + part, 0)
    expect(await lagOf(names.group, names.source, 'Latest')).to.equal(0)
    expect(await lagOf(names.group, names.source, 'Earliest')).to.equal(1000)
    admin.close()
  })

  /** Deletes the topic and makes it anew, with more events than it had. */
  async function remake(names: { source: string }, from: number, to: number): Promise<void> {
    const topic = ['--bootstrap-server', kafka.brokers[0]!, '--topic', names.source]
    const admin = openAdmin(settings())
    const former = await admin.topicId(names.source)
    await kafka.tool('org.apache.kafka.tools.TopicCommand', [...topic, '--delete'])
    // A creation whose answer was lost has made it all the same.
    await eventually('it is there again', async () => {
      await admin.createMissingTopics([{ topic: names.source, partitions: 4 }]).catch(() => {})
      const id = await admin.topicId(names.source).catch(() => undefined)
      return id !== undefined && id !== former
    })
    admin.close()
    await produce(names.source, from, to)
  }

  it('begins anew when the topic was made anew while it was away', async () => {
    const names = await topics(1000)
    const first = run(names, learner(names.results))
    await caughtUp(names)
    await first.stop()
    await remake(names, 1000, 4000)
    run(names, learner(names.results))
    await eventually('all is published', async () => (await read(names.results)).length >= 4000)
    await caughtUp(names)
    await expectExact(names, 4000)
  })

  it('begins anew when the topic is made anew while it reads', async () => {
    const names = await topics(1000)
    const remade = new Set<number>()
    run(names, learner(names.results), { onTopicRemade: ({ partition }) => remade.add(partition) })
    await caughtUp(names)
    await remake(names, 1000, 4000)
    await eventually('all partitions begin', () => remade.size === 4)
    await caughtUp(names)
    await expectExact(names, 4000)
  })

  it('refuses the offsets of a member of a former generation', async () => {
    const names = await topics(100, 1)
    const loop = run(names, learner(names.results))
    await caughtUp(names)
    const late = await transactionalProducers(settings())('late')
    const transaction = await late.begin()
    const membership = { memberId: 'somebody', generationId: 0 }
    const error = await transaction
      .sendOffsets(names.group, [{ topic: names.source, partition: 0, offset: 5 }], { membership })
      .catch((thrown: unknown) => thrown)
    late.discard()
    expect(error).to.include({ failure: 'Expelled' })
    expect(loop.ready()).to.equal(true)
  })

  it('keeps its place when the offsets of a transaction come again within the next one of the same producer', async () => {
    const names = await topics(10, 1)
    const producer = await transactionalProducers(settings(kafka.proxy!.brokers))(names.group)
    const late = kafka.proxy!.copy(kafkaApi.TxnOffsetCommit)
    for (const offset of [4, 8]) {
      const transaction = await producer.begin()
      await transaction.send([{ topic: names.results, key: 'k', value: String(offset) }])
      await transaction.sendOffsets(names.group, [{ topic: names.source, partition: 0, offset }])
      if (offset === 8) await (await late).deliver()
      await transaction.commit()
    }
    producer.discard()
    const admin = openAdmin(settings())
    const commits = await admin.committedOffsets(names.group, names.source)
    admin.close()
    expect(commits.get(0)!.offset).to.equal(8)
    expect((await read(names.results)).map(({ value }) => String(value))).to.deep.equal(['4', '8'])
  })

  it('ends transactions as the cluster has agreed to, not as its brokers could', async () => {
    const names = await topics(0, 1)
    const feature = (command: string, level: number) =>
      kafka.tool('org.apache.kafka.tools.FeatureCommand', [
        ...['--bootstrap-server', kafka.brokers[0]!, command, '--feature', `transaction.version=${level}`],
      ])
    const versionOfEnd = async (): Promise<number> => {
      const producer = await transactionalProducers(settings(kafka.proxy!.brokers))(names.group)
      const end = kafka.proxy!.passed(kafkaApi.EndTxn)
      for (let i = 0; i < 2; i++) {
        const transaction = await producer.begin()
        await transaction.send([{ topic: names.results, key: 'k', value: 'v' }])
        await transaction.commit()
      }
      producer.discard()
      return (await end).apiVersion
    }
    expect(await versionOfEnd()).to.equal(5)
    await feature('downgrade', 1)
    await eventually('version 1 is used', async () => (await versionOfEnd()) === 1)
    await feature('upgrade', 2)
    await eventually('version 2 is used', async () => (await versionOfEnd()) === 5)
  })

  it('starts at the end of the topic where told so, and there again after a stop', async () => {
    const names = await topics(500)
    const first = run(names, learner(names.results), { startFrom: 'Latest' })
    await eventually('it reads', () => first.ready())
    await first.stop()
    await produce(names.source, 500, 800)
    run(names, learner(names.results), { startFrom: 'Latest' })
    await caughtUp(names)
    const ids = (await read(names.results)).map(({ value }) => JSON.parse(String(value)).id)
    expect(ids.sort((x, y) => x - y)).to.deep.equal(Array.from({ length: 300 }, (_, i) => 500 + i))
  })

  for (const [how, maxSendBytes] of [
    ['by bytes', undefined],
    ['after the broker has refused it', 20_000_000],
  ] as const) {
    it(`splits what is too large for one request ${how}`, async () => {
      const names = await topics(100, 1)
      const large = 'z'.repeat(60_000)
      const handler = learner(names.results, {
        batch: async ({ records }) =>
          records.map(({ key, value }) => ({
            topic: names.results,
            key,
            value: JSON.stringify({ id: JSON.parse(String(value)).id, large }),
          })),
      })
      run(names, handler, { ...(maxSendBytes ? { maxSendBytes } : {}) })
      await caughtUp(names)
      await expectExact(names, 100)
      expect(handler.counts.dropped > 0).to.equal(maxSendBytes !== undefined)
    })
  }

  it('replaces a record that alone is too large', async () => {
    const names = await topics(10, 1)
    const handler = learner(names.results, {
      batch: async ({ records }) =>
        records.map(({ key, offset }) => ({
          topic: names.results,
          key,
          value: offset === 3 ? 'z'.repeat(1_200_000) : 'small',
        })),
    })
    run(names, handler)
    await caughtUp(names)
    const values = (await read(names.results)).map(({ value }) => String(value))
    expect(values.filter((value) => value === 'small').length).to.equal(9)
    expect(values.filter((value) => value === 'too large').length).to.equal(1)
  })

  it('gives records again whose handler failed', async () => {
    const names = await topics(1000)
    let failures = 3
    const inner = learner(names.results)
    const handler: Learner = {
      ...inner,
      batch: async (batch, signal) => {
        const outgoing = await inner.batch(batch, signal)
        if (failures-- > 0) throw new Error('inference is gone')
        return outgoing
      },
    }
    run(names, handler)
    await caughtUp(names)
    expectLearntInStep(await expectExact(names, 1000), handler)
  })

  it('sets aside the records that a handler fails on, and only those, in their places', async () => {
    const names = await topics(3000)
    const isBad = ({ value }: Pick<KafkaRecord, 'value'>): boolean => JSON.parse(String(value)).id % 700 === 13
    const inner = learner(names.results, {
      unprocessable: ({ key, value }) => ({
        topic: names.results,
        key,
        value: JSON.stringify({ id: JSON.parse(String(value)).id, isAside: true }),
      }),
    })
    run(names, {
      ...inner,
      batch: async (batch, signal) => {
        const outgoing = await inner.batch(batch, signal)
        if (batch.records.some(isBad)) throw new RangeError('no idea')
        return outgoing
      },
    })
    await caughtUp(names)
    await expectExact(names, 3000)
    const aside = (await read(names.results)).map(({ value }) => JSON.parse(String(value))).filter((one) => one.isAside)
    expect(aside.map(({ id }) => id).sort((a, b) => a - b)).to.deep.equal([13, 713, 1413, 2113, 2813])
  })

  it('is stuck where a handler does not come back, unless that waits with good reason', async () => {
    const names = await topics(100, 1)
    const handling = Promise.withResolvers<void>()
    const handler: Learner = {
      ...learner(names.results),
      batch: async (_, signal) => {
        handling.resolve()
        await once(signal, 'abort')
        return []
      },
    }
    const loop = run(names, handler)
    await handling.promise
    const stuckFor = () => performance.now() - loop.polledAt()
    await eventually('it is stuck', () => stuckFor() > 3000)
    expect(loop.problem(), 'the broker answers').to.equal(undefined)
    const before = loop.polledAt()
    loop.waiting()
    expect(loop.polledAt()).to.be.above(before)
  })

  it('reports offsets that are gone and goes on at the first one left', async () => {
    const names = await topics(400, 1)
    const first = run(names, learner(names.results))
    await caughtUp(names)
    await first.stop()
    await produce(names.source, 400, 1000)
    await deleteRecords(names.source, 0, 700)
    const lost: object[] = []
    run(names, learner(names.results), { onOffsetLost: (of, range) => lost.push({ ...of, ...range }) })
    await caughtUp(names)
    expect(lost).to.deep.equal([{ topic: names.source, partition: 0, from: 400, to: 700 }])
    expect((await read(names.results)).length).to.equal(700)
  })

  it('tells where a log is damaged, reads its other partitions, and goes on where that one begins behind it', async () => {
    for (const damage of [
      (batch: Buffer) => batch.writeInt32BE(2 ** 30, 8),
      (batch: Buffer) => batch.writeInt32BE(7, 57),
    ]) {
      const names = await topics(0, 2)
      const producer = await connectProducer(settings())
      const send = (partition: number, from: number, to: number) =>
        producer.send(
          Array.from({ length: to - from }, (_, i) => {
            const value = JSON.stringify({ id: from + i, pad: 'x'.repeat(300) })
            return { topic: names.source, partition, key: 'user', value }
          }),
        )
      for (let from = 0; from < 500; from += 100) await send(0, from, from + 100)
      const file = `${kafka.data}/${names.source}-0/00000000000000000000.log`
      const log = readFileSync(file)
      const second = log.subarray(12 + log.readInt32BE(8))
      damage(second)
      writeFileSync(file, log, { flag: 'r+' })

      const lost: object[] = []
      const loop = run(names, learner(names.results), { onOffsetLost: (_, range) => lost.push(range) })
      const told = new RegExp(`^${names.source}-0: Cannot read the record batch of ${names.source}-0 at offset 100: `)
      await eventually('the damage is told', () => told.test(loop.problem()?.message ?? ''))
      await send(1, 500, 600)
      await eventually('the other partition is read', async () => (await read(names.results)).length === 200)
      expect([...loop.lag()]).to.deep.equal([
        [0, 400],
        [1, 0],
      ])
      expect(loop.ready()).to.equal(false)
      // The broker's index leads to the damaged batch from the one behind it, too.
      await deleteRecords(names.source, 0, 300)
      await caughtUp(names)
      await eventually('it is ready again', () => loop.ready())
      expect(lost).to.deep.equal([{ from: 100, to: 300 }])
      const ids = (await read(names.results)).map(({ value }) => JSON.parse(String(value)).id).sort((a, b) => a - b)
      expect(ids).to.deep.equal([...Array(100).keys(), ...Array.from({ length: 300 }, (_, i) => 300 + i)])
      await producer.close()
      await loop.stop()
    }
  })

  it('reads a record batch that is larger than a fetch, also behind partitions that are full', async () => {
    const names = await topics(0, 3)
    await kafka.tool('kafka.admin.ConfigCommand', [
      ...['--bootstrap-server', kafka.brokers[0]!, '--alter', '--topic', names.source],
      ...['--add-config', `max.message.bytes=${50 << 20}`],
    ])
    const producer = await connectProducer(settings())
    for (let i = 0; i < 60; i++) {
      for (const partition of [0, 2])
        await producer.send([{ topic: names.source, partition, key: null, value: Buffer.alloc(700_000) }])
    }
    const large = { topic: names.source, partition: 1, key: null, value: Buffer.alloc(40 << 20) }
    await producer.send([large], { timeoutMs: 60_000 })
    await producer.close()
    const sizes: number[] = []
    const handler = learner(names.results, {
      batch: async ({ records }) => {
        sizes.push(...records.map(({ value }) => value!.length))
        return []
      },
    })
    run(names, handler)
    await caughtUp(names)
    expect(sizes.filter((size) => size === 700_000)).to.have.length(120)
    expect(sizes.filter((size) => size !== 700_000)).to.deep.equal([40 << 20])
  })

  async function deleteRecords(topic: string, partition: number, offset: number): Promise<void> {
    const { temporaryFolder } = await import('../../tools/servers/server.ts')
    const file = `${temporaryFolder('delete')}/offsets.json`
    writeFileSync(file, JSON.stringify({ version: 1, partitions: [{ topic, partition, offset }] }))
    await kafka.tool('org.apache.kafka.tools.DeleteRecordsCommand', [
      ...['--bootstrap-server', kafka.brokers[0]!, '--offset-json-file', file],
    ])
  }

  it('reads what the Java client wrote with every codec, and without keys', async () => {
    const names = await topics(0)
    const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
    const each = 1500
    for (const [c, codec] of codecs.entries()) {
      const lines = Array.from({ length: each }, (_, i) =>
        JSON.stringify({ id: c * each + i, pad: `${codec} ${i} ${'abcdefg'.repeat(30)}` }),
      )
      await kafka.tool(
        'org.apache.kafka.tools.ConsoleProducer',
        [
          '--bootstrap-server',
          kafka.brokers[0]!,
          '--topic',
          names.source,
          '--compression-codec',
          codec,
          '--max-block-ms',
          '20000',
        ],
        { input: `${lines.join('\n')}\n` },
      )
    }
    run(names, learner(names.results))
    await caughtUp(names)
    const ids = (await read(names.results)).map(({ value }) => JSON.parse(String(value)).id)
    expect(ids.sort((x, y) => x - y)).to.deep.equal(Array.from({ length: codecs.length * each }, (_, i) => i))
  })

  describe('secured', () => {
    const cases = {
      'SASL PLAIN': () => ({ brokers: kafka.secured!.saslPlaintext, sasl: { mechanism: 'Plain', ...kafkaUser } }),
      'SCRAM-SHA-256': () => ({
        brokers: kafka.secured!.saslPlaintext,
        sasl: { mechanism: 'ScramSha256', ...kafkaUser },
      }),
      'SCRAM-SHA-512 over TLS': () => ({
        brokers: kafka.secured!.saslTls,
        sasl: { mechanism: 'ScramSha512', ...kafkaUser },
        tls: { ca: kafka.secured!.tls.ca },
      }),
      'mutual TLS': () => ({ brokers: kafka.secured!.mutualTls, tls: kafka.secured!.tls }),
    } satisfies Record<string, () => Partial<KafkaSettings>>
    for (const [name, of] of Object.entries(cases)) {
      it(`connects with ${name}`, async () => {
        const names = await topics(10, 1)
        const secured: KafkaSettings = { ...settings(), ...of() }
        const producer = await connectProducer(secured)
        await producer.send([{ topic: names.source, key: 'k', value: '{"id":10}' }])
        await producer.close()
        let records = 0
        await readTopic(secured, names.source, (batch) => {
          records += batch.records.length
        })
        expect(records).to.equal(11)
      })
    }

    for (const [name, of] of Object.entries({
      'a wrong password': () => ({
        ...cases['SCRAM-SHA-256'](),
        sasl: { mechanism: 'ScramSha256', ...kafkaUser, password: 'no' },
      }),
      'no certificate': () => ({ brokers: kafka.secured!.mutualTls, tls: { ca: kafka.secured!.tls.ca } }),
      'an unknown authority': () => ({ ...cases['SCRAM-SHA-512 over TLS'](), tls: {} }),
    } satisfies Record<string, () => Partial<KafkaSettings>>)) {
      it(`does not connect with ${name}`, async () => {
        const admin = openAdmin({ ...settings(), ...of() })
        const error = await admin.topicOffsets('any').catch((thrown) => thrown)
        admin.close()
        expect(error).to.have.property('code').that.is.oneOf(['Unavailable', 'DeadlineExceeded'])
      })
    }
  })

  describe('producer', () => {
    it('writes once what was acknowledged without the producer hearing of it', async () => {
      const { source } = await topics(0, 1)
      const producer = await connectProducer(settings(kafka.proxy!.brokers))
      const cut = kafka.proxy!.cutReply(kafkaApi.Produce)
      await producer.send(Array.from({ length: 100 }, (_, i) => ({ topic: source, key: 'k', value: String(i) })))
      await cut
      await producer.send([{ topic: source, key: 'k', value: 'last' }])
      await producer.close()
      const values = (await read(source)).map(({ value }) => String(value))
      expect(values).to.deep.equal([...Array.from({ length: 100 }, (_, i) => String(i)), 'last'])
    })

    it('fails within its deadline while the broker is away, and works when it is back', async () => {
      const { source } = await topics(0, 1)
      const proxy = kafka.proxy!
      const producer = await connectProducer(settings(proxy.brokers))
      const send = (value: string) => producer.send([{ topic: source, key: 'k', value }], { timeoutMs: 1500 })
      await send('before')
      proxy.drop()
      const failures = await Promise.all(['a', 'b', 'c'].map((value) => send(value).catch(({ code }) => code)))
      for (const code of failures) expect(code).to.be.oneOf(['Unavailable', 'DeadlineExceeded'])
      proxy.accept()
      await eventually('it sends', () =>
        send('after').then(
          () => true,
          () => false,
        ),
      )
      await producer.close()
      const values = (await read(source)).map(({ value }) => String(value))
      expect(values[0]).to.equal('before')
      expect(values.at(-1)).to.equal('after')
    })

    it('closes soon while the broker does not answer', async () => {
      const { source } = await topics(0, 1)
      const producer = await connectProducer(settings(kafka.proxy!.brokers))
      kafka.proxy!.stall()
      const sent = producer
        .send([{ topic: source, key: 'k', value: 'v' }], { timeoutMs: 500 })
        .catch(({ code }) => code)
      expect(await sent).to.equal('DeadlineExceeded')
      await producer.close()
    })
  })

  it('says what is wrong, and ends, while there is no broker', async () => {
    const loop = run({ source: 'none', group: 'none' }, learner('none'), { brokers: ['127.0.0.1:1'] })
    await eventually('it names the trouble', () => /ECONNREFUSED/.test(loop.problemOf('kafka') ?? ''))
    expect(loop.ready()).to.equal(false)
    const before = loop.polledAt()
    await eventually('it goes on trying', () => loop.polledAt() > before)
    await loop.stop()
  })

  describe('processes', () => {
    const sessionTimeoutMs = 6000
    const members: Member[] = []
    interface Member {
      readonly child: ChildProcess
      owned: readonly number[]
    }

    afterEach(() => {
      for (const { child } of members.splice(0)) child.kill('SIGKILL')
    })

    function start(names: { source: string; results: string; group: string }): Member {
      const { source, results, group } = names
      const args = [kafka.brokers[0]!, source, results, group, String(sessionTimeoutMs)]
      const child = fork(new URL('./kafka-client/member.ts', import.meta.url), args)
      const member: Member = { child, owned: [] }
      child.on('message', ({ ready, owned }: { ready: boolean; owned: number[] }) => {
        member.owned = ready ? owned : []
      })
      members.push(member)
      return member
    }

    const owning = (...counts: readonly number[]) =>
      eventually(`members own ${counts} partitions`, () => counts.every((n, i) => members[i]!.owned.length === n))

    /** Events in small portions until `done`; gives their number. */
    async function load(topic: string, done: Promise<unknown>): Promise<number> {
      let ended = false
      const end = (): void => {
        ended = true
      }
      done.then(end, end)
      let events = 0
      for (; !ended; events += 500) {
        await produce(topic, events, events + 500)
        await delay(50)
      }
      await done
      return events
    }

    it('lose and repeat nothing when one is killed under load', async () => {
      const names = await topics(0)
      start(names)
      start(names)
      const kills = async (): Promise<void> => {
        await owning(2, 2)
        for (let round = 0; round < 2; round++) {
          const [first] = members.splice(0, 1)
          first!.child.kill('SIGKILL')
          await owning(4)
          start(names)
          await owning(2, 2)
        }
      }
      const events = await load(names.source, kills())
      await caughtUp(names)
      await expectExact(names, events)
    })

    it('lose and repeat nothing when one stands still beyond its session and comes back', async () => {
      const names = await topics(0)
      const [zombie, survivor] = [start(names), start(names)]
      const standStill = async (): Promise<void> => {
        await owning(2, 2)
        zombie.child.kill('SIGSTOP')
        await eventually('the survivor owns all', () => survivor.owned.length === 4)
        zombie.child.kill('SIGCONT')
        await owning(2, 2)
      }
      const events = await load(names.source, standStill())
      await caughtUp(names)
      await expectExact(names, events)
    })

    it('end in time when asked to, under load', async () => {
      const names = await topics(0)
      const [first] = [start(names), start(names)]
      const stop = async (): Promise<void> => {
        await owning(2, 2)
        first.child.kill('SIGTERM')
        await once(first.child, 'exit')
        expect(first.child.exitCode).to.equal(0)
      }
      const events = await load(names.source, stop())
      await caughtUp(names)
      await expectExact(names, events)
    })
  })

  it('goes on by itself after the broker was away', async () => {
    const names = await topics(2000)
    const handler = learner(names.results)
    const loop = run(names, handler)
    await eventually('it reads', () => loop.ready())
    await kafka.restart({ downMs: 6000 })
    await produce(names.source, 2000, 4000)
    await caughtUp(names)
    expectLearntInStep(await expectExact(names, 4000), handler)
    await eventually('it is ready', () => loop.ready())
  })
})
