import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Postgres, startPostgres } from '../../../tools/servers/postgres.ts'
import { temporaryFolder } from '../../../tools/servers/server.ts'
import type { Episode } from '../../../workloads/detection/episode.ts'
import type { Verdict } from '../../../workloads/detection/verdict.ts'
import { formatNumber } from '../../../workloads/terminal/wording.ts'
import { openPage, startBrowser, violationsOf } from '../../harness/browser.ts'
import { eventually } from '../../harness/eventually.ts'
import { type Cluster, eventOf, patience, type Role, type Scene, startCluster } from './cluster.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('The API of a pipeline with a history', () => {
  let cluster: Cluster
  let postgres: Postgres
  let scene: Scene
  let api: Role & { readonly url: string }

  before(async () => {
    ;[cluster, postgres] = await Promise.all([startCluster(), startPostgres()])
    scene = await cluster.scene({ postgresUrl: postgres.url })
    const { address: inference } = await scene.inference()
    const consumer = await scene.consumer({ inference })
    const recorder = await scene.recorder()
    api = await scene.api({ inference, consumers: [consumer], recorders: [recorder] })
  })
  after(async () => {
    await scene?.stop()
    await Promise.all([cluster?.stop(), postgres?.stop()])
  })

  const ask = (path: string) => fetch(`${api.url}/api/v1/${path}`)
  const json = async (path: string) => (await ask(path)).json() as Promise<Record<string, unknown>>
  const refusal = async (path: string): Promise<string> => {
    const response = await ask(path)
    return `${response.status} ${((await response.json()) as { readonly detail: string }).detail}`
  }
  const health = async () =>
    (await json('overview')).health as { readonly components: Readonly<Record<string, { readonly status: string }>> }
  const recorded = async (): Promise<readonly string[]> => {
    const text = await (await ask('results?format=ndjson')).text()
    return text
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { readonly eventId: string }).eventId)
      .filter((id) => id !== 'by-rest')
  }
  const expectRecorded = (count: number) =>
    eventually(async () => {
      const ids = await recorded()
      expect(ids).to.have.length(count)
      expect([...ids].sort()).to.deep.equal(Array.from({ length: count }, (_, i) => eventOf(i).eventId).sort())
    }, patience)

  it('answers what was judged before, and what is open, and serves the console', async () => {
    await scene.feed(1500)
    await scene.caughtUp()
    await expectRecorded(1500)
    // Redis keeps alerts and what came by REST.
    expect(await json('results/event-7')).to.include({ eventId: 'event-7', isAnomaly: false })
    const { keepsHistory, processes } = await json('overview')
    expect({ keepsHistory, processes }).to.deep.equal({ keepsHistory: true, processes: { consumer: 1, recorder: 1 } })
    await eventually(async () => expect((await json('episodes')).episodes).to.have.length.above(0), patience)
    const { points } = await json('keys/user-7/series')
    expect(points).to.have.length(25)
    expect((await fetch(api.url)).status).to.equal(200)
  })

  it('has every value, and every event as it came, also by REST and of those that did not alert', async () => {
    const byRest = { eventId: 'by-rest', timestamp: eventOf(1500).timestamp, userId: 'rest', value: 51.25 }
    const headers = { 'Content-Type': 'application/json' }
    const answer = await fetch(`${api.url}/api/v1/detect`, { method: 'POST', headers, body: JSON.stringify(byRest) })
    expect(answer.status).to.equal(200)
    const verdict = (await answer.json()) as object
    await eventually(async () => {
      const { results } = (await json('results?key=rest')) as { readonly results: readonly object[] }
      expect(results).to.have.length(1)
      expect(results[0]).to.deep.include({ ...verdict, value: 51.25 })
    }, patience)
    expect(await json('results/by-rest/event')).to.deep.equal(byRest)
    expect(await json('results/event-7/event')).to.deep.equal(eventOf(7))
    const { points } = (await json('keys/user-7/series')) as { readonly points: readonly { readonly value: number }[] }
    expect(points.map(({ value }) => value)).to.deep.equal(
      Array.from({ length: 25 }, (_, i) => eventOf(7 + 60 * i).value),
    )
    expect(await refusal('results/nobody/event')).to.equal('404 The event "nobody" has no verdict, or no longer')
  })

  it('shows in the console each value of a key, and any event as it came', async () => {
    const { episodes } = (await json('episodes')) as { readonly episodes: readonly Episode[] }
    const { episodeId, peakEventId } = episodes.find(({ userId }) => userId !== null)!
    const browser = await startBrowser()
    try {
      const { page, complaints } = await openPage(browser, `${api.url}/?page=key&id=user-7&hours=0`)
      const sees = (text: string) => page.getByText(text).first().waitFor({ timeout: 30_000 })
      const chart = page.getByRole('figure', { name: 'Values of user-7: 25 points, 0 alerts' })
      await chart.locator('canvas').nth(1).waitFor()
      const ordinary = eventOf(7 + 60 * 20)
      await page.getByRole('link', { name: ordinary.eventId }).click()
      await sees(`"velocity": ${ordinary.features.velocity}`)
      const cells = page.getByRole('row').filter({ hasText: ordinary.eventId }).getByRole('cell')
      expect(await cells.nth(2).textContent()).to.equal(formatNumber(ordinary.value))
      expect(await violationsOf(page)).to.deep.equal([])
      await page.goto(`${api.url}/?page=episode&id=${encodeURIComponent(episodeId)}`)
      await sees(`"eventId": "${peakEventId}"`)
      await sees('Its events, and those before')
      expect(complaints).to.deep.equal([])
    } finally {
      await browser.close()
    }
  })

  it('goes on while PostgreSQL is away, says so, and has all of it when it is back', async () => {
    await postgres.halt()
    await scene.feed(1500)
    await scene.caughtUp()
    await eventually(async () => {
      const { components } = await health()
      expect([components.history?.status, components.recorder?.status]).to.deep.equal(['DOWN', 'DOWN'])
      expect(components.consumers?.status).to.equal('UP')
    }, patience)
    expect((await ask('results/event-7')).status).to.equal(503)
    await postgres.start()
    await expectRecorded(3000)
    await eventually(async () => expect((await health()).components.recorder?.status).to.equal('UP'), patience)
  })

  it('says of an event that its topic has deleted, and goes on to tell what it was like', async () => {
    const { partition, offset } = (await json('results/event-7')) as Partial<Verdict>
    const partitions = [{ topic: scene.topics.source, partition, offset: offset! + 1 }]
    const file = join(temporaryFolder('records'), 'delete.json')
    writeFileSync(file, JSON.stringify({ version: 1, partitions }))
    const brokers = ['--bootstrap-server', cluster.kafka.brokers.join()]
    await cluster.kafka.tool('org.apache.kafka.tools.DeleteRecordsCommand', [...brokers, '--offset-json-file', file])
    expect(await refusal('results/event-7/event')).to.equal(
      `404 The event "event-7" is no longer at offset ${offset} of partition ${partition} of ${scene.topics.source}: a topic keeps events for a time only`,
    )
    expect(await json('results/event-7')).to.include({ eventId: 'event-7', value: eventOf(7).value })
  })
})
