import { expect } from 'chai'
import type { Verdict } from '../../../workloads/detection/verdict.ts'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, patience, type Role, type Scene, startCluster } from './cluster.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
const feedbackTopic = 'said'
const detection = {
  feedback: { topic: feedbackTopic, authentication: 'None' },
  rules: [{ name: 'limit', field: 'value', above: '1000' }],
  detectors: [{ name: 'profile', profile: {} }],
}

;(skipped ? describe.skip : describe)('Feedback', () => {
  let cluster: Cluster
  let scene: Scene
  let inference: string

  before(async () => {
    cluster = await startCluster()
    scene = await cluster.scene({ detection })
    inference = (await scene.inference()).address
  })
  after(() => cluster?.stop())

  const eventOf = (eventId: string, userId: string, value = 5) => ({ eventId, userId, value, timestamp: Date.now() })
  const send = (...events: readonly ReturnType<typeof eventOf>[]) =>
    scene.send(events.map((event) => ({ key: event.userId, value: JSON.stringify(event) })))

  async function verdictOf(eventId: string): Promise<Verdict> {
    let found: Verdict | undefined
    await eventually(async () => {
      const verdicts = (await scene.read(scene.topics.results)).map(({ value }) => JSON.parse(String(value)) as Verdict)
      found = verdicts.find((verdict) => verdict.eventId === eventId)
      expect(found, eventId).to.not.equal(undefined)
    }, patience)
    return found!
  }

  async function confirmedOf(eventId: string): Promise<number> {
    const reason = (await verdictOf(eventId)).reasons.find(({ detector }) => detector === 'feedback')
    return Math.round(reason?.observed ?? 0)
  }

  async function say(api: Role & { readonly url: string }, body: object): Promise<number> {
    const headers = { 'Content-Type': 'application/json' }
    const response = await fetch(`${api.url}/api/v1/feedback`, { method: 'POST', headers, body: JSON.stringify(body) })
    return response.status
  }

  it('is learnt once by whoever owns the key, over REST and from its topic, and outlives its process', async () => {
    let consumer = await scene.consumer({ inference })
    const api = await scene.api({ inference })
    await send(eventOf('a1', 'alice', 5000), eventOf('b1', 'bob'), eventOf('c1', 'carol'))
    const carols = await verdictOf('c1')
    await verdictOf('b1')
    await verdictOf('a1')

    await eventually(async () => expect(await say(api, { eventId: 'a1', label: 'Confirmed' })).to.equal(202), patience)
    expect(await say(api, { eventId: 'a1', label: 'Confirmed' }), 'the same again').to.equal(202)
    expect(await say(api, { eventId: 'b1', label: 'Confirmed' }), 'no alert, and no verdict along').to.equal(404)
    const inTopic = [
      { eventId: 'a1', label: 'Confirmed' },
      { label: 'Confirmed', verdict: carols },
      { eventId: 'nobody', label: 'Confirmed' },
    ]
    await scene.send(inTopic.map((body) => ({ topic: feedbackTopic, key: null, value: JSON.stringify(body) })) as never)
    // In its place among the events, it is learnt before those that come when it is there.
    await eventually(async () => {
      const marks = (await scene.read(scene.topics.source)).filter(({ headers }) => headers['anomaly-feedback'])
      expect(marks.length).to.equal(4)
    }, patience)
    await send(eventOf('a2', 'alice'), eventOf('b2', 'bob'), eventOf('c2', 'carol'))
    expect([await confirmedOf('a2'), await confirmedOf('b2'), await confirmedOf('c2')]).to.deep.equal([1, 0, 1])

    await eventually(async () => expect(await consumer.metrics()).to.match(/anomaly_state_pending_keys 0\b/), patience)
    await consumer.kill()
    consumer = await scene.consumer({ inference })
    await send(eventOf('a3', 'alice'), eventOf('c3', 'carol'))
    expect([await confirmedOf('a3'), await confirmedOf('c3')]).to.deep.equal([1, 1])

    expect(await say(api, { eventId: 'a1', label: 'Withdrawn' })).to.equal(202)
    await send(eventOf('a4', 'alice'))
    expect(await confirmedOf('a4')).to.equal(0)

    await eventually(async () => {
      const { feedback } = (await (await fetch(`${api.url}/api/v1/feedback?label=Withdrawn`)).json()) as {
        feedback: readonly { eventId: string; userId: string }[]
      }
      expect(feedback.map(({ eventId, userId }) => [eventId, userId])).to.deep.equal([['a1', 'alice']])
    }, patience)
    const dead = await scene.read(scene.topics.deadLetters)
    expect(dead.map(({ headers }) => String(headers['anomaly-reason']))).to.deep.equal(['InvalidFeedback'])
    const results = (await scene.read(scene.topics.results)).map(({ value }) => JSON.parse(String(value)).eventId)
    expect(results.toSorted()).to.deep.equal(['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1', 'c2', 'c3'])
  })
})
