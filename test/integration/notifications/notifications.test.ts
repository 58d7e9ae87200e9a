import { execFile } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { type Alertmanager, startAlertmanager } from '../../../tools/servers/alertmanager.ts'
import { makeCertificates } from '../../../tools/servers/certificates.ts'
import { type Kafka, startKafka } from '../../../tools/servers/kafka/kafka.ts'
import { temporaryFolder } from '../../../tools/servers/server.ts'
import { closed, episode } from '../../../workloads/notifications/test-episode.ts'
import { eventually } from '../../harness/eventually.ts'
import { startReceiver, type TestReceiver } from '../../harness/receiver.ts'
import { type NotificationScene, notificationScene } from './notification-scene.ts'

const run = promisify(execFile)
const bin = new URL('../../../bin/anomaly', import.meta.url).pathname

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Notifications of the recorder', function () {
  this.timeout(300_000)
  let kafka: Kafka
  const scenes: NotificationScene[] = []
  const receivers: TestReceiver[] = []
  before(async () => {
    kafka = await startKafka()
  })
  after(() => kafka?.stop())
  afterEach(async () => {
    for (const scene of scenes.splice(0)) await scene.stop()
    for (const receiver of receivers.splice(0)) receiver.close()
  })

  async function receiver(...args: Parameters<typeof startReceiver>): Promise<TestReceiver> {
    const one = await startReceiver(...args)
    receivers.push(one)
    return one
  }
  async function scene(
    notifications: readonly object[],
    options: Omit<Parameters<typeof notificationScene>[1], 'notifications'> = {},
  ): Promise<NotificationScene> {
    const one = await notificationScene(kafka, { notifications, ...options })
    scenes.push(one)
    return one
  }
  const hook = (name: string, { url }: TestReceiver, more: object = {}) => ({ name, webhook: { url, ...more } })
  const idsOf = (one: TestReceiver) => one.events().map(({ id }) => id.replace(/^default\/\w+\//, ''))

  it('tells each receiver once when an episode opens and when it is over, signed, with a link', async () => {
    const one = await receiver()
    const notified = await scene([hook('hook', one, { hmacSecretRef: { name: 'keys', key: 'hmac' } })], {
      secrets: { 'keys/hmac': 'k3y\n' },
    })
    const recorder = await notified.recorder()
    await notified.publish(episode(), episode({ change: 'Updated', alerts: 2 }))
    await eventually(() => expect(idsOf(one)).to.deep.equal(['event-1/opened']))
    await notified.publish(closed())
    await eventually(() => expect(idsOf(one)).to.deep.equal(['event-1/opened', 'event-1/closed']))
    expect(one.events()[0]!.data.link).to.equal('https://anomaly.example.com/?page=episode&id=event-1')
    for (const { headers, body } of one.received) {
      const [, seconds, signature] = /^t=(\d+),v1=(\w+)$/.exec(headers['anomaly-signature'] as string)!
      expect(signature).to.equal(createHmac('sha256', 'k3y').update(`${seconds}.${body}`).digest('hex'))
    }
    await eventually(async () =>
      expect(await recorder.metrics()).to.include('anomaly_notifications_sent_total{receiver="hook"} 2'),
    )
    await eventually(async () => expect(await recorder.status()).to.deep.equal({ hook: { problem: 'ok', waiting: 0 } }))
  })

  it('lets no receiver wait for one that hangs, fails, or asks to wait', async () => {
    const hanging = await receiver(() => {})
    const resetting = await receiver((response, count) => (count < 3 ? response.socket!.destroy() : response.end()))
    const busy = await receiver((response, count) =>
      count === 1 ? response.writeHead(429, { 'Retry-After': '3' }).end() : response.end(),
    )
    const well = await receiver()
    const notified = await scene([
      hook('hanging', hanging),
      hook('resetting', resetting),
      hook('busy', busy),
      hook('well', well),
    ])
    const recorder = await notified.recorder()
    await notified.publish(episode(), episode({ episodeId: 'event-2', userId: 'user-2' }))
    const both = ['event-1/opened', 'event-2/opened']
    await eventually(() => expect(idsOf(well)).to.have.members(both))
    await eventually(() => expect(new Set(idsOf(busy))).to.have.keys(both))
    await eventually(() => expect(new Set(idsOf(resetting))).to.have.keys(both))
    expect(busy.received.length).to.equal(3)
    // It took the second and the third time for the same.
    expect(idsOf(resetting).slice(0, 3)).to.deep.equal(Array.from({ length: 3 }, () => idsOf(resetting)[0]))
    await eventually(async () => {
      const { hanging, well, busy } = await recorder.status()
      expect(hanging).to.deep.equal({ problem: 'no answer within 10 s', waiting: 2 })
      expect([well, busy].map((one) => one!.problem)).to.deep.equal(['ok', 'ok'])
    })
    expect(await recorder.metrics()).to.include(
      'anomaly_notifications_failed_total{receiver="hanging",reason="Timeout"}',
    )
  })

  it('makes a dead letter at once of what a receiver refuses for good, and goes on', async () => {
    const refusing = await receiver((response, count) => response.writeHead(count === 1 ? 404 : 200).end())
    const notified = await scene([hook('refusing', refusing)])
    const recorder = await notified.recorder()
    await notified.publish(episode())
    await eventually(async () => {
      const [letter, ...others] = await notified.deadLetters()
      expect(others).to.deep.equal([])
      expect(JSON.parse(String(letter!.value))).to.deep.equal(episode())
      const headers = Object.fromEntries(Object.entries(letter!.headers).map(([name, text]) => [name, String(text)]))
      expect(headers).to.include({
        'anomaly-reason': 'NotDelivered',
        'anomaly-message': 'it answers 404',
        'anomaly-receiver': 'refusing',
        'anomaly-topic': `${notified.name}-episodes`,
      })
    })
    await notified.publish(closed())
    await eventually(() => expect(idsOf(refusing)).to.deep.equal(['event-1/opened', 'event-1/closed']))
    expect(await recorder.metrics()).to.include('anomaly_notifications_dead_lettered_total{receiver="refusing"} 1')
    const lines = recorder.log().match(/notifications are given up/g)
    expect(lines?.length).to.equal(1)
    expect(recorder.log()).to.not.include(refusing.url)
  })

  it('tells again with the same key after a kill between telling and commit, and nothing twice after that', async () => {
    const killed = Promise.withResolvers<void>()
    let kill: () => Promise<void> = async () => {}
    const one = await receiver((response, count) => {
      if (count > 1) return void response.end()
      void kill().then(killed.resolve)
    })
    const notified = await scene([hook('hook', one)], { partitions: 1 })
    kill = (await notified.recorder()).kill
    await notified.publish(episode())
    await killed.promise
    await notified.recorder()
    await eventually(() => expect(idsOf(one)).to.deep.equal(['event-1/opened', 'event-1/opened']))
    await notified.publish(episode({ change: 'Updated' }), episode({ episodeId: 'event-2' }))
    await eventually(() => expect(idsOf(one).slice(2)).to.deep.equal(['event-2/opened']))
    expect(one.received.map(({ headers }) => headers['idempotency-key']).slice(0, 2)).to.deep.equal(
      Array.from({ length: 2 }, () => `default/${notified.name}/event-1/opened`),
    )
  })

  it('knows after a restart what was told before, and tells what grew meanwhile', async () => {
    const one = await receiver()
    const notified = await scene([{ ...hook('hook', one), minScore: '0.999' }])
    const first = await notified.recorder()
    await notified.publish(episode(), episode({ episodeId: 'event-2', userId: 'user-2', peakScore: 0.99 }))
    await eventually(async () => expect((await first.status()).hook!.waiting).to.equal(0))
    await eventually(() => expect(idsOf(one)).to.deep.equal(['event-1/opened']))
    expect(await first.stop()).to.equal(0)
    await notified.publish(
      episode({ change: 'Updated', alerts: 2 }),
      episode({ episodeId: 'event-2', userId: 'user-2', change: 'Updated', peakScore: 0.9999 }),
    )
    await notified.recorder()
    await eventually(() => expect(idsOf(one)).to.deep.equal(['event-1/opened', 'event-2/opened']))
    await notified.publish(closed(), closed({ episodeId: 'event-2', userId: 'user-2' }))
    await eventually(() => expect(idsOf(one).slice(2)).to.have.members(['event-1/closed', 'event-2/closed']))
  })

  it('pages once for a storm of a thousand episodes', async () => {
    const [chat, pager] = [await receiver(), await receiver()]
    const notified = await scene(
      [
        { name: 'chat', slack: { urlSecretRef: { name: 'receivers', key: 'chat' } } },
        { name: 'pager', pagerduty: { url: pager.url, routingKeySecretRef: { name: 'receivers', key: 'pager' } } },
      ],
      { secrets: { 'receivers/chat': chat.url, 'receivers/pager': 'routing' } },
    )
    const recorder = await notified.recorder()
    await notified.publish(
      ...Array.from({ length: 1000 }, (_, i) => episode({ episodeId: `event-${i}`, userId: `user-${i}` })),
    )
    await eventually(async () => {
      const metrics = await recorder.metrics()
      for (const name of ['chat', 'pager'])
        expect(metrics).to.include(`anomaly_notifications_sent_total{receiver="${name}"} 1000`)
    })
    // What the last of the three partitions brought a moment later waits half a minute, and is told together as well.
    for (const { received } of [chat, pager]) expect(received.length).to.be.at.most(3)
    expect(pager.received.map(({ body }) => JSON.parse(body).dedup_key)).to.satisfy((keys: readonly string[]) =>
      keys.every((key) => key === `default/${notified.name}/many`),
    )
  })

  it('takes up receivers that come, change and go while it runs, also one whose secret comes late', async () => {
    const [first, second] = [await receiver(), await receiver()]
    const notified = await scene([hook('first', first)])
    const recorder = await notified.recorder()
    notified.edit([
      { ...hook('second', second), keys: ['user-1'] },
      { name: 'late', slack: { urlSecretRef: { name: 'nowhere', key: 'url' } } },
    ])
    await eventually(async () => {
      const status = await recorder.status()
      expect(status).to.have.keys('second', 'late')
      expect(status.second!.problem).to.equal('ok')
      expect(status.late!.problem).to.match(/^Cannot read .*nowhere\/url/)
    })
    await notified.publish(episode({ userId: 'user-2' }), episode({ episodeId: 'event-2' }))
    await eventually(() => expect(idsOf(second)).to.deep.equal(['event-2/opened']))
    notified.edit([hook('second', second)])
    await eventually(async () => expect(await recorder.status()).to.have.keys('second'))
    await eventually(async () => expect((await recorder.status()).second!.problem).to.equal('ok'))
    await notified.publish(episode({ episodeId: 'event-3', userId: 'user-3' }), episode({ change: 'Updated' }))
    await eventually(() => expect(idsOf(second)).to.include('event-3/opened'))
    expect(idsOf(second).filter((id) => id === 'event-2/opened').length).to.equal(1)
    expect(first.received).to.deep.equal([])
  })

  it('tells a receiver whose certificate an authority of its own has signed, where that is trusted', async () => {
    const folder = temporaryFolder('private-receiver')
    const { caFile, serverCertFile, serverKeyFile } = makeCertificates(folder)
    const [cert, key] = [serverCertFile, serverKeyFile].map((file) => readFileSync(file, 'utf8')) as [string, string]
    const one = await receiver(undefined, { tls: { cert, key } })
    const file = join(folder, 'pipeline.yaml')
    const spec = {
      source: { brokers: ['localhost:1'] },
      results: { episodesTopic: 'e' },
      notifications: [hook('hook', one)],
    }
    writeFileSync(
      file,
      JSON.stringify({ apiVersion: 'anomaly.com/v1alpha1', kind: 'AnomalyPipeline', metadata: { name: 'p' }, spec }),
    )
    const notify = (env: object) => run(bin, ['notify', 'hook', '-f', file], { env: { ...process.env, ...env } })
    const refused = await notify({}).catch((error: { stdout: string }) => error.stdout)
    expect(refused).to.match(/authority that is not trusted here.*NODE_EXTRA_CA_CERTS/)
    expect((await notify({ NODE_EXTRA_CA_CERTS: caFile })).stdout).to.equal('hook: has taken it\n')
    expect(one.received).to.have.length(1)
  })

  describe('to Alertmanager', () => {
    let alertmanager: Alertmanager
    let told: TestReceiver
    before(async () => {
      told = await startReceiver()
      alertmanager = await startAlertmanager({ webhook: told.url })
    })
    after(async () => {
      await alertmanager?.stop()
      told?.close()
    })
    const notices = () =>
      told.received.map(({ body }) => {
        const { status, groupLabels, alerts } = JSON.parse(body) as {
          status: string
          groupLabels: { pipeline: string }
          alerts: { status: string; labels: { episode: string } }[]
        }
        return { status, pipeline: groupLabels.pipeline, episodes: alerts.map(({ labels }) => labels.episode).sort() }
      })

    it('fire while episodes are open, in one group, and resolve when they are over', async () => {
      const notified = await scene([{ name: 'alerts', alertmanager: { url: alertmanager.url } }])
      const recorder = await notified.recorder()
      await notified.publish(episode(), episode({ episodeId: 'event-2', userId: 'user-2' }))
      await eventually(async () => {
        const alerts = await alertmanager.alerts()
        expect(alerts.map(({ labels }) => labels.episode).sort()).to.deep.equal(['event-1', 'event-2'])
        expect(alerts[0]!.annotations.description).to.include('value 950 (usual 42)')
      })
      await eventually(() => {
        const last = notices().at(-1)
        expect(last).to.deep.equal({ status: 'firing', pipeline: notified.name, episodes: ['event-1', 'event-2'] })
      })
      await recorder.kill()
      await notified.recorder()
      await notified.publish(closed())
      await eventually(async () =>
        expect((await alertmanager.alerts()).map(({ labels }) => labels.episode)).to.deep.equal(['event-2']),
      )
      await notified.publish(closed({ episodeId: 'event-2', userId: 'user-2' }))
      await eventually(async () => expect(await alertmanager.alerts()).to.deep.equal([]))
      await eventually(() => expect(notices().at(-1)!.status).to.equal('resolved'))
    })
  })
})
