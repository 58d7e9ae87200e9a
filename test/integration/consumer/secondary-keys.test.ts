import { expect } from 'chai'
import { partitionOf } from '../../../lib/kafka/partitioner.ts'
import type { Verdict } from '../../../workloads/detection/verdict.ts'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, patience, type Scene, startCluster } from './cluster.ts'

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
})
