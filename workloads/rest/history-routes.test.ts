import { Validator } from '@seriousme/openapi-schema-validator'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import type { HttpPart } from '../../lib/http-part.ts'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import type { Episode } from '../detection/episode.ts'
import type { Verdict } from '../detection/verdict.ts'
import { temporaryFolder } from '../files/temporary-folder.ts'
import type { History } from '../history/history.ts'
import { openSqliteHistory } from '../history/sqlite-history.ts'
import { verdictJson } from '../wire/verdict-bytes.ts'
import { createApp } from './app.ts'
import { createLiveEvents } from './live-events.ts'
import { createApiServer } from './server.ts'
import { createStubDoor } from './stub-door.ts'

const start = Date.UTC(2024, 0, 1)
const key = 'key, "quoted"'
const verdicts = Array.from({ length: 2500 }, (_, i): Verdict => {
  return {
    eventId: `e/${i}`,
    userId: i % 2 === 0 ? key : 'other',
    timestamp: start + 1000 * i,
    isAnomaly: i % 1000 === 0,
    anomalyScore: 0.5,
    threshold: 0.999,
    confidence: 1,
    modelVersion: 'NONE',
    reasons: [{ detector: 'profile', feature: 'value', observed: 9, expected: 1, contribution: 1 }],
    scores: {},
  }
})
const episode: Episode = {
  episodeId: 'e/0',
  change: 'Opened',
  state: 'Open',
  userId: key,
  firstTimestamp: start,
  lastTimestamp: start,
  alerts: 1,
  events: 1,
  keys: 1,
  peakScore: 0.9999,
  peakEventId: 'e/0',
  reasons: [],
}

describe('REST routes of the past', () => {
  const folder = temporaryFolder()
  let history: History
  let server: HttpPart
  before(async () => {
    history = openSqliteHistory(`${folder.path}/history.db`)
    const judged = verdicts.map((verdict, i) => {
      return { verdict, json: verdictJson(verdict), value: i, event: i === 0 ? '{"a":1}' : undefined }
    })
    await history.record(judged, [episode])
    const metadata = { name: 'test', namespace: 'default' }
    const spec = { source: { brokers: ['localhost:9092'] } }
    const { event, detection } = parsePipeline({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata,
      spec,
    }).spec
    const log = await createLogger({ level: 'silent' })
    const options = {
      log,
      registry: new Registry(),
      event,
      live: createLiveEvents(),
      history,
      detection: () => detection,
    }
    server = createApiServer(createApp(createStubDoor(event), options), { port: 0, host: '127.0.0.1' })
    await server.start!(new AbortController().signal)
  })
  after(async () => {
    await server.stop!()
    await history.close()
    folder.remove()
  })

  async function ask(path: string) {
    const response = await fetch(`http://127.0.0.1:${server.port}/api/v1/${path}`)
    return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
  }
  const json = async (path: string) => JSON.parse((await ask(path)).text)

  it('give pages of verdicts that lead from one to the next', async () => {
    const first = await json(`results?key=${encodeURIComponent(key)}&limit=700`)
    const second = await json(`results?key=${encodeURIComponent(key)}&limit=700&cursor=${first.next}`)
    const ids = [...first.results, ...second.results].map(({ eventId }: Verdict) => eventId)
    expect(ids).to.deep.equal(verdicts.flatMap(({ userId, eventId }) => (userId === key ? [eventId] : [])).reverse())
    expect(second.next).to.equal(null)
  })

  it('answer about one event, one episode, a key and the keys that alert', async () => {
    expect(await json('results/e%2F7')).to.include({ eventId: 'e/7', userId: 'other' })
    expect(await json('results/e%2F0/event')).to.deep.equal({ a: 1 })
    expect((await ask('results/e%2F7/event')).status).to.equal(404)
    expect(await json('episodes')).to.deep.equal({ episodes: [episode], next: null })
    expect(await json('episodes?state=Closed')).to.deep.equal({ episodes: [], next: null })
    expect(await json('episodes/e%2F0')).to.deep.equal(episode)
    expect((await ask('episodes/none')).status).to.equal(404)
    const { points } = await json(`keys/${encodeURIComponent(key)}/series?points=10`)
    expect(points).to.have.length(10)
    const { keys } = await json(`keys?from=2024-01-01T00:00:00Z&to=${start + 2_500_000}&buckets=5`)
    expect(keys).to.deep.equal([{ key, alerts: 3, scores: [0.5, 0, 0.5, 0, 0.5] }])
  })

  it('answer what another budget would have made of it', async () => {
    const answer = await json(`what-if?budget=100000&from=${start}&to=${start + 2_500_000}`)
    expect(answer).to.deep.include({ budgetPerMillion: 100_000, from: start, events: 2500 })
    expect(answer.was).to.deep.equal({ alerts: 3, episodes: 3 })
    expect(answer.go.episodes[0].reasons).to.deep.equal(verdicts[0]!.reasons)
  })

  it('export all that matches as NDJSON and as CSV', async () => {
    const lines = (await ask('results?format=ndjson')).text.trim().split('\n')
    expect(lines.map((line) => JSON.parse(line).eventId)).to.deep.equal(
      verdicts.map(({ eventId }) => eventId).reverse(),
    )
    const { type, text } = await ask('results?format=csv&anomalies=true')
    expect(type).to.equal('text/csv; charset=utf-8')
    const [head, ...rows] = text.trim().split('\r\n')
    expect(head).to.match(/^eventId,userId,timestamp,/)
    expect(rows).to.have.length(3)
    expect(rows[2]).to.equal('e/0,"key, ""quoted""",2024-01-01T00:00:00.000Z,true,0.5,0.999,1,NONE,,,value,9,1')
    expect((await ask('episodes?format=ndjson')).text).to.equal(`${JSON.stringify(episode)}\n`)
  })

  for (const [path, name] of [
    ['results?from=yesterday', 'from'],
    ['results?limit=1001', 'limit'],
    ['results?anomalies=maybe', 'anomalies'],
    ['results?format=xml', 'format'],
    ['results?cursor=nowhere', 'cursor'],
    ['episodes?state=open', 'state'],
    ['keys', 'from'],
    ['keys?from=2&to=1', 'from'],
    ['what-if?from=1&to=2', 'budget'],
    ['what-if?budget=100001&from=1&to=2', 'budget'],
    ['what-if?budget=5&from=1', 'from'],
  ] as const)
    it(`refuse ${path}`, async () => {
      const { status, text } = await ask(path)
      expect(status).to.equal(400)
      expect(JSON.parse(text)).to.deep.include({ reason: 'InvalidArgument' })
      expect(JSON.parse(text).detail).to.match(new RegExp(`^${name}\\b`))
    })

  it('refuse to try a budget on alerts alone', async () => {
    const alerts = Array.from({ length: 30 }, (_, i) => {
      const verdict: Verdict = { ...verdicts[0]!, eventId: `a${i}`, timestamp: start - 9_000_000 + i }
      return { verdict, json: verdictJson(verdict), value: i }
    })
    await history.record(alerts, [])
    const { status, text } = await ask(`what-if?budget=10&from=${start - 9_000_000}&to=${start - 8_000_000}`)
    expect([status, JSON.parse(text).reason]).to.deep.equal([409, 'Conflict'])
  })

  it('are described, by a document that is valid', async () => {
    const response = await fetch(`http://127.0.0.1:${server.port}/openapi.json`)
    const document = (await response.json()) as { paths: object }
    const { valid, errors } = await new Validator().validate(structuredClone(document))
    expect(valid, JSON.stringify(errors)).to.equal(true)
    const { paths } = document
    expect(Object.keys(paths)).to.include.members(['/api/v1/results', '/api/v1/episodes', '/api/v1/keys/{key}/series'])
  })
})
