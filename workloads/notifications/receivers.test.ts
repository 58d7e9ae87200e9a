import { createHmac } from 'node:crypto'
import { expect } from 'chai'
import { alertmanager } from './alertmanager.ts'
import type { Message } from './message.ts'
import { pagerduty } from './pagerduty.ts'
import type { OutgoingRequest } from './receiver.ts'
import { slack } from './slack.ts'
import { episode, message, start } from './test-episode.ts'
import { webhook } from './webhook.ts'

const subject = { namespace: 'shop', pipeline: 'payments', externalUrl: 'https://anomaly.example.com/' }
const bodyOf = ({ body }: OutgoingRequest) => JSON.parse(body())
const storm = (count: number, kind: Message['kind'] = 'Opened') =>
  Array.from({ length: count }, (_, i) =>
    message(kind, { episodeId: `event-${i}`, userId: `user-${i}`, peakScore: 0.99 + i / 1e6 }),
  )

describe('webhook', () => {
  const options = { url: 'https://hook.example.com', hmacKey: 'key', headers: { 'X-Team': 'risk' }, subject }
  const receiver = webhook({ ...options, tellsClosed: true })

  it('tells an episode as a CloudEvent', () => {
    const [request] = receiver.requests([message()], false)
    expect(bodyOf(request!)).to.deep.equal({
      specversion: '1.0',
      id: 'shop/payments/event-1/Opened',
      source: '/apis/anomaly.com/v1alpha1/namespaces/shop/anomalypipelines/payments',
      type: 'com.anomaly.episode.opened',
      subject: 'user-1',
      time: '2026-01-31T10:00:00.000Z',
      datacontenttype: 'application/json',
      data: {
        namespace: 'shop',
        pipeline: 'payments',
        ...episode(),
        summary:
          'Anomaly in payments: user-1: value 950 (usual 42) (since 2026-01-31 10:00:00 UTC, 1 alert, score 0.99950)',
        link: 'https://anomaly.example.com/?page=episode&id=event-1',
      },
    })
  })

  it('signs the time of the try and the body', () => {
    const [request] = receiver.requests([message()], false)
    const signature = createHmac('sha256', 'key').update(`1700000000.${request!.body()}`).digest('hex')
    expect(request!.headers(1_700_000_000)).to.deep.equal({
      'Content-Type': 'application/cloudevents+json; charset=utf-8',
      'Idempotency-Key': 'shop/payments/event-1/Opened',
      'X-Team': 'risk',
      'Anomaly-Signature': `t=1700000000,v1=${signature}`,
    })
  })

  it('has a key that a header takes, whatever the id of the event', () => {
    const [request] = receiver.requests([message('Opened', { episodeId: 'Zoë ✓' })], false)
    expect(request!.headers(0)['Idempotency-Key']).to.equal('shop/payments/Zo%C3%AB%20%E2%9C%93/Opened')
  })

  it('names each kind of change, and no subject where it is the stream', () => {
    const messages = (['Opened', 'StillOpen', 'Closed'] as const).map((kind) =>
      message(kind, { userId: null, keys: 9 }),
    )
    const events = receiver.requests(messages, false).map(bodyOf)
    expect(events.map(({ type }) => type)).to.deep.equal([
      'com.anomaly.episode.opened',
      'com.anomaly.episode.updated',
      'com.anomaly.episode.closed',
    ])
    expect(events[0]).to.not.have.property('subject')
    expect(events[2].data.summary).to.match(/^Over in payments: 9 keys together: .* \(for 10 minutes, 4 alerts/)
  })

  it('says nothing of the end where that is not asked for', () => {
    const silent = webhook({ ...options, tellsClosed: false })
    expect(silent.requests([message('Closed')], false)).to.deep.equal([])
  })

  it('tells many in few requests with all of them, each with its id, and the same id for the same ones', () => {
    const requests = receiver.requests(storm(1000), true)
    expect(requests.length).to.equal(5)
    const event = bodyOf(requests[0]!)
    expect(event.type).to.equal('com.anomaly.episodes.digest')
    expect(event.data.summary).to.equal('200 anomalies in payments')
    expect(event.data.episodes.map(({ id }: { id: string }) => id)).to.deep.equal(storm(200).map(({ id }) => id))
    expect(bodyOf(receiver.requests(storm(1000).reverse(), true).at(-1)!).id).to.equal(event.id)
  })
})

describe('slack', () => {
  const receiver = slack({ url: 'https://hooks.slack.com/services/x', tellsClosed: true, subject })

  it('tells an episode in blocks, with a text beside', () => {
    expect(bodyOf(receiver.requests([message()], false)[0]!)).to.deep.equal({
      text: 'Anomaly in payments: user-1: value 950 (usual 42)',
      blocks: [
        { type: 'header', text: { type: 'plain_text', text: 'Anomaly in payments: user-1' } },
        {
          type: 'section',
          text: {
            type: 'mrkdwn',
            text: 'value 950 (usual 42)\nsince 2026-01-31 10:00:00 UTC, 1 alert, score 0.99950',
          },
        },
        {
          type: 'actions',
          elements: [
            {
              type: 'button',
              text: { type: 'plain_text', text: 'Look at it' },
              url: 'https://anomaly.example.com/?page=episode&id=event-1',
            },
          ],
        },
      ],
    })
  })

  it('shows signs of its own as they are, and keeps to what blocks take', () => {
    const userId = `<!channel> & ${'x'.repeat(300)}`
    const { text, blocks } = bodyOf(receiver.requests([message('Opened', { userId })], false)[0]!)
    expect(text).to.include('&lt;!channel&gt; &amp; x').and.not.include('<!channel>')
    expect(blocks[0].text.text.length).to.equal(150)
    const many = bodyOf(
      receiver.requests(
        storm(1000).map((one) => ({ ...one, episode: { ...one.episode, userId } })),
        true,
      )[0]!,
    )
    expect(many.blocks[1].text.text.length).to.be.at.most(3000)
  })

  it('tells many in one message, the worst by name', () => {
    const requests = receiver.requests(storm(1000), true)
    expect(requests.length).to.equal(1)
    expect(requests[0]!.messages.length).to.equal(1000)
    const { text, blocks } = bodyOf(requests[0]!)
    expect(text).to.match(/^1,000 anomalies in payments: /)
    const lines = blocks[1].text.text.split('\n')
    expect(lines.length).to.equal(11)
    expect(lines[0]).to.equal(
      '• <https://anomaly.example.com/?page=episode&amp;id=event-999|user-999>: value 950 (usual 42)',
    )
    expect(lines[10]).to.equal('… and 990 more')
  })

  it('does not tell of the end of what became part of the whole stream’s', () => {
    expect(receiver.requests([message('Closed', { partOf: 'stream:event-9' })], false)).to.deep.equal([])
    expect(receiver.requests([message('Closed')], false).length).to.equal(1)
  })
})

describe('alertmanager', () => {
  const told = (id: string) => ({ episode: episode({ episodeId: id }), toldAt: start, newsAt: start })
  const receiver = (...open: string[]) =>
    alertmanager({
      url: 'http://alertmanager:9093/',
      authorization: undefined,
      subject,
      open: () => open.map(told),
      wall: () => start + 1000,
    })

  it('fires while the episode is open, with labels that stay the same', () => {
    const [request] = receiver('event-1').requests([message()], false)
    expect(request!.url).to.equal('http://alertmanager:9093/api/v2/alerts')
    expect(bodyOf(request!)).to.deep.equal([
      {
        labels: { alertname: 'Anomaly', namespace: 'shop', pipeline: 'payments', episode: 'event-1', key: 'user-1' },
        annotations: {
          summary: 'Anomaly in payments: user-1',
          description: 'value 950 (usual 42) (since 2026-01-31 10:00:00 UTC, 1 alert, score 0.99950)',
        },
        startsAt: '2026-01-31T10:00:00.000Z',
        endsAt: '2026-01-31T10:05:01.000Z',
        generatorURL: 'https://anomaly.example.com/?page=episode&id=event-1',
      },
    ])
    const [later] = bodyOf(receiver().requests([message('Closed', { peakScore: 1 })], false)[0]!)
    expect(later.labels).to.deep.equal(bodyOf(request!)[0].labels)
    expect(later.endsAt).to.equal('2026-01-31T10:00:01.000Z')
  })

  it('tells all that is open each time, so that none is taken for resolved', () => {
    const [request] = receiver('event-1', 'event-2', 'event-3').requests([message()], false)
    expect(bodyOf(request!).map(({ labels }: { labels: { episode: string } }) => labels.episode)).to.deep.equal([
      'event-1',
      'event-2',
      'event-3',
    ])
    expect(request!.messages).to.deep.equal([message()])
    expect(receiver('event-1').requests([], false).length).to.equal(1)
    expect(receiver().requests([], false)).to.deep.equal([])
  })

  it('never begins after it ends, whatever the clocks of events', () => {
    const [request] = receiver().requests([message('Closed', { firstTimestamp: start + 1e9 })], false)
    const [{ startsAt, endsAt }] = bodyOf(request!)
    expect(startsAt <= endsAt).to.equal(true)
  })
})

describe('pagerduty', () => {
  const options = { url: 'https://events.pagerduty.com/v2/enqueue', routingKey: 'R0'.repeat(16), subject }
  const receiver = (open: () => readonly string[] = () => []) =>
    pagerduty({
      ...options,
      open: () => open().map((id) => ({ episode: episode({ episodeId: id }), toldAt: start, newsAt: start })),
    })
  const eventsOf = (requests: readonly OutgoingRequest[]) =>
    requests.map(bodyOf).map(({ event_action, dedup_key }) => [event_action, dedup_key])

  it('triggers an incident, and resolves it by the same key', () => {
    const told = receiver(() => ['other'])
    expect(bodyOf(told.requests([message()], false)[0]!)).to.deep.equal({
      routing_key: 'R0'.repeat(16),
      event_action: 'trigger',
      dedup_key: 'shop/payments/event-1',
      payload: {
        summary: 'Anomaly in payments: user-1: value 950 (usual 42)',
        source: 'shop/payments',
        severity: 'error',
        timestamp: '2026-01-31T10:00:00.000Z',
        component: 'payments',
        group: 'shop',
        class: 'anomaly',
        custom_details: {
          why: 'value 950 (usual 42)',
          since: 'since 2026-01-31 10:00:00 UTC, 1 alert, score 0.99950',
          key: 'user-1',
          score: 0.9995,
        },
      },
      links: [{ href: 'https://anomaly.example.com/?page=episode&id=event-1', text: 'Console' }],
      client: 'Anomaly',
      client_url: 'https://anomaly.example.com/?page=episode&id=event-1',
    })
    expect(eventsOf(told.requests([message('Closed')], false))).to.deep.equal([['resolve', 'shop/payments/event-1']])
  })

  it('makes one incident of many, and resolves it with the last of them', () => {
    const told = receiver(() => ['other'])
    expect(eventsOf(told.requests(storm(1000), true))).to.deep.equal([['trigger', 'shop/payments/many']])
    expect(eventsOf(told.requests(storm(999, 'Closed'), true))).to.deep.equal([])
    expect(eventsOf(told.requests(storm(1000, 'Closed').slice(999), false))).to.deep.equal([
      ['resolve', 'shop/payments/many'],
    ])
  })

  it('resolves what an earlier process has told of many when nothing is open any more', () => {
    let open = ['event-2']
    const told = receiver(() => open)
    expect(eventsOf(told.requests([message('Closed')], false))).to.deep.equal([['resolve', 'shop/payments/event-1']])
    open = []
    expect(eventsOf(told.requests([message('Closed', { episodeId: 'event-2' })], false))).to.deep.equal([
      ['resolve', 'shop/payments/event-2'],
      ['resolve', 'shop/payments/many'],
    ])
  })

  it('keeps to the lengths that it takes', () => {
    const long = message('Opened', { episodeId: 'e'.repeat(256), userId: 'u'.repeat(2000) })
    const { dedup_key, payload } = bodyOf(receiver().requests([long], false)[0]!)
    expect(dedup_key.length).to.be.at.most(255)
    expect(payload.summary.length).to.equal(1024)
  })
})
