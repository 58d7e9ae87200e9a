import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { partitionOf } from '../../../lib/kafka/partitioner.ts'
import { parsePipeline } from '../../../lib/pipeline/parse-pipeline.ts'
import type { Event } from '../../../workloads/detection/event.ts'
import { FeatureSchema } from '../../../workloads/detection/feature-schema.ts'
import type { Feedback } from '../../../workloads/detection/feedback.ts'
import type { Verdict } from '../../../workloads/detection/verdict.ts'
import { Partition } from '../../../workloads/judging/partition.ts'
import { feedbackIn } from '../../../workloads/wire/feedback-record.ts'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, patience, type Role, type Scene, startCluster } from './cluster.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
const partitions = 4
const limit = 1000
const event = { secondaryKeys: ['terminalId', 'place.city'] }
const detection = {
  feedback: { topic: 'said-of-terminals', authentication: 'None' },
  rules: [{ name: 'limit', field: 'value', above: String(limit) }],
  detectors: [{ name: 'profile', profile: {} }],
}

interface Payment {
  readonly eventId: string
  readonly userId: string
  readonly terminalId: string
  readonly place: { readonly city: string }
  readonly value: number
  readonly timestamp: number
}

;(skipped ? describe.skip : describe)('Secondary keys', () => {
  let cluster: Cluster
  let scene: Scene
  let inference: string

  before(async () => {
    cluster = await startCluster()
  })
  after(() => cluster?.stop())
  beforeEach(async () => {
    scene = await cluster.scene({ detection, event, partitions })
    inference = (await scene.inference()).address
  })
  afterEach(() => scene?.stop())

  let minted = 0
  /** The name of a card that nobody used before, whose events lie in this partition. */
  function cardIn(partition: number): string {
    for (;;) {
      const card = `card-${++minted}`
      if (partitionOf(card, partitions, 'Murmur2') === partition) return card
    }
  }

  /** When the last payment was made, ms since 1970. */
  let clock = Date.now() - 86_400_000
  function tick(): number {
    clock += 1000
    return clock
  }
  const payment = (userId: string, terminalId: string, value = 5): Payment => ({
    eventId: `e${++minted}`,
    userId,
    terminalId,
    place: { city: `city of ${terminalId}` },
    value,
    timestamp: tick(),
  })

  const send = (payments: readonly Payment[]) =>
    scene.send(payments.map((one) => ({ key: one.userId, value: JSON.stringify(one) })))

  async function verdicts(): Promise<ReadonlyMap<string, Verdict>> {
    const all = (await scene.read(scene.topics.results)).map(({ value }) => JSON.parse(String(value)) as Verdict)
    return new Map(all.map((verdict) => [verdict.eventId, verdict]))
  }

  async function verdictOf({ eventId }: Payment): Promise<Verdict> {
    let found: Verdict | undefined
    await eventually(async () => {
      found = (await verdicts()).get(eventId)
      expect(found, eventId).to.not.equal(undefined)
    }, patience)
    return found!
  }

  /** Confirmed anomalies of which the verdict speaks, by field. */
  const confirmed = ({ reasons }: Verdict) =>
    Object.fromEntries(
      reasons.filter(({ detector }) => detector === 'feedback').map(({ feature, observed }) => [feature, observed]),
    )

  const allWritten = (consumers: readonly Role[]) =>
    eventually(async () => {
      for (const one of consumers) expect(await one.metrics()).to.match(/anomaly_state_pending_keys 0\b/)
    }, patience)

  async function detect(url: string, one: Payment): Promise<Verdict> {
    const headers = { 'Content-Type': 'application/json' }
    const answer = await fetch(`${url}/api/v1/detect`, { method: 'POST', headers, body: JSON.stringify(one) })
    expect(answer.status).to.equal(200)
    return (await answer.json()) as Verdict
  }

  /** What is said of events goes its way through the topic of feedback, and is learnt when this resolves. */
  async function confirm(payments: readonly Payment[]): Promise<void> {
    const marks = async () =>
      (await scene.read(scene.topics.source)).filter(({ headers }) => headers['anomaly-feedback'])
    const before = (await marks()).length
    await eventually(async () => {
      for (const { eventId } of payments) expect(await scene.state.results.get(eventId), eventId).to.be.a('string')
    }, patience)
    const bodies = payments.map(({ eventId }) => JSON.stringify({ eventId, label: 'Confirmed', time: clock }))
    await scene.send(bodies.map((value) => ({ topic: detection.feedback.topic, key: null, value })) as never)
    await eventually(async () => expect(await marks()).to.have.length(before + payments.length), patience)
    await scene.caughtUp()
  }

  it('tell consumers of what was confirmed elsewhere, within about two seconds', async () => {
    const consumers = [await scene.consumer({ inference }), await scene.consumer({ inference, isAlone: false })]
    const suspicious = payment(cardIn(0), 't1', 5000)
    await send([suspicious, ...[1, 2, 3].map((partition) => payment(cardIn(partition), 't1'))])
    expect(await verdictOf(suspicious)).to.deep.include({
      isAnomaly: true,
      secondaryKeys: { terminalId: 't1', 'place.city': 'city of t1' },
    })
    await confirm([suspicious])
    const learnt = performance.now()
    const probes: Payment[] = []
    const last = [1, 2, 3].map((partition) => ({ partition, probe: undefined as Payment | undefined }))
    await eventually(async () => {
      for (const one of last) {
        one.probe = payment(cardIn(one.partition), 't1')
        probes.push(one.probe)
      }
      await send(last.map(({ probe }) => probe!))
      for (const { probe } of last)
        expect(Math.round(Number(confirmed(await verdictOf(probe!)).terminalId ?? 0))).to.equal(1)
    }, patience)
    console.log(`      known in each partition after ${Math.round(performance.now() - learnt)} ms`)
    const api = await scene.api({ inference })
    await eventually(
      async () => expect(confirmed(await detect(api.url, payment(cardIn(3), 't1')))).to.include.keys('terminalId'),
      patience,
    )
    const elsewhere = payment(cardIn(2), 't2')
    await send([elsewhere])
    expect(confirmed(await verdictOf(elsewhere))).to.deep.equal({})
    expect(consumers.length).to.equal(2)
  })

  it('have the risk that one process finds over the same events, also after a consumer was killed', async () => {
    const first = await scene.consumer({ inference })
    const second = await scene.consumer({ inference, isAlone: false })
    await eventually(async () => expect(await owned(second)).to.be.above(0), patience)
    const cards = Array.from({ length: 12 }, (_, i) => cardIn(i % partitions))
    const round = async (terminals: readonly string[]) => {
      const payments = Array.from({ length: 120 }, (_, i) =>
        payment(cards[i % 12]!, terminals[(i * 7) % terminals.length]!, i % 19 === 3 ? 5000 : 5),
      )
      await send(payments)
      await scene.caughtUp()
      await confirm(payments.filter(({ value }) => value > limit))
    }
    await round(['t1', 't2', 't3', 't4', 't5'])
    await allWritten([first, second])
    await first.kill()
    await round(['t1', 't2', 't3'])
    await expectRisks(['t1', 't2', 't3', 't4'], [second])
    const third = await scene.consumer({ inference, isAlone: false })
    await eventually(async () => expect(await owned(third)).to.be.above(0), patience)
    await round(['t2', 't5'])
    await expectRisks(['t1', 't2', 't3', 't4', 't5'], [second, third])
    const inTopic = (await scene.read(scene.topics.source)).filter(({ headers }) => !headers['anomaly-feedback'])
    const ids = [...inTopic, ...(await scene.read(scene.topics.results))].map(
      ({ value }) => (JSON.parse(String(value)) as Payment | Verdict).eventId,
    )
    expect(ids.slice(inTopic.length).toSorted()).to.deep.equal(ids.slice(0, inTopic.length).toSorted())
  })

  const owned = async (role: Role) => Object.keys((await role.status()).lag).length

  /** When all is written, cards that nobody used before pay at the terminals, one partition after the other. */
  async function expectRisks(terminals: readonly string[], consumers: readonly Role[]): Promise<void> {
    for (let partition = 0; partition < partitions; partition++) {
      await allWritten(consumers)
      // What is known of other partitions is a second old at most.
      await delay(1100)
      const probes = terminals.map((terminal) => payment(cardIn(partition), terminal))
      await send(probes)
      await scene.caughtUp()
      const [found, expected] = [await verdicts(), await verdictsOfOneProcess()]
      for (const { eventId, terminalId } of probes) {
        const [one, other] = [found.get(eventId)!, expected.get(eventId)!]
        const what = `${terminalId} in partition ${partition}`
        expect(riskIn(other), what).to.be.above(0.1)
        expect(riskIn(one), what).to.be.closeTo(riskIn(other), 1e-3)
        expect(confirmed(one).terminalId, what).to.be.closeTo(Number(confirmed(other).terminalId), 1e-3)
      }
    }
  }

  /** What one process, with all partitions in one memory, says of what is in the topic now, in order of time. */
  async function verdictsOfOneProcess(): Promise<ReadonlyMap<string, Verdict>> {
    const pipeline = parsePipeline({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'one' },
      spec: { source: { brokers: ['localhost:9092'] }, event, detection },
    })
    const memory = new Partition(pipeline, { schema: new FeatureSchema() })
    const inOrder = (await scene.read(scene.topics.source)).map((record) => {
      const said = feedbackIn({ ...record, value: record.value }, event.secondaryKeys) as Feedback | undefined
      const paid = said === undefined ? (JSON.parse(String(record.value)) as Payment) : undefined
      return { said, paid, time: said?.time ?? paid!.timestamp }
    })
    // What was said at the time of an event came after it.
    inOrder.sort((a, b) => a.time - b.time || Number(a.said !== undefined) - Number(b.said !== undefined))
    const found = new Map<string, Verdict>()
    for (const { said, paid } of inOrder) {
      if (said !== undefined) memory.learn(said)
      else if (paid !== undefined) {
        const [verdict] = memory.decide(memory.observe([eventOf(paid)]), undefined)
        found.set(paid.eventId, verdict!)
      }
    }
    return found
  }

  const eventOf = ({ eventId, userId, timestamp, value, terminalId, place }: Payment): Event => ({
    id: eventId,
    key: userId,
    time: timestamp,
    value,
    features: [],
    secondaryKeys: [terminalId, place.city],
  })

  /** What the profile has no part in, in nats. */
  const riskIn = ({ anomalyScore, scores }: Verdict) => Math.log((1 - scores.profile!) / (1 - anomalyScore))
})
