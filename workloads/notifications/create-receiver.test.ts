import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Notification } from '../../lib/pipeline/spec.ts'
import { createReceiver } from './create-receiver.ts'
import { message } from './test-episode.ts'

describe('A receiver', () => {
  const folder = mkdtempSync(join(tmpdir(), 'anomaly-secrets-'))
  after(() => rmSync(folder, { recursive: true }))
  const secret = (name: string, entries: Readonly<Record<string, string>>) => {
    mkdirSync(join(folder, name), { recursive: true })
    for (const [key, text] of Object.entries(entries)) writeFileSync(join(folder, name, key), text)
  }
  before(() => {
    secret('receivers', {
      chat: 'https://hooks.slack.com/services/s3cret\n',
      hook: 'https://hook.example.com/?t=s3cret',
    })
    secret('keys', { hmac: 'k3y', pagerduty: 'routing' })
    secret('login', { username: 'me', password: 'pass' })
    secret('wrong', { url: 'hooks.slack.com/s3cret', file: 'file:///etc/passwd', empty: '' })
  })
  const context = {
    subject: { namespace: 'shop', pipeline: 'payments', externalUrl: undefined },
    open: () => [],
    wall: () => 0,
  }
  const create = (notification: Omit<Notification, 'name'>, secretsFolder: string | undefined = folder) =>
    createReceiver({ name: 'it', ...notification }, { ...context, secretsFolder })
  function requestTo(notification: Omit<Notification, 'name'>) {
    const [request] = create(notification).requests([message()], false)
    return { url: request!.url, headers: request!.headers(0), body: JSON.parse(request!.body()) }
  }

  it('has its address and its key from files', () => {
    const urlSecretRef = { name: 'receivers', key: 'hook' }
    const { url, headers } = requestTo({ webhook: { urlSecretRef, hmacSecretRef: { name: 'keys', key: 'hmac' } } })
    expect(url).to.equal('https://hook.example.com/?t=s3cret')
    expect(headers['Anomaly-Signature']).to.match(/^t=0,v1=[0-9a-f]{64}$/)
    expect(requestTo({ slack: { urlSecretRef: { name: 'receivers', key: 'chat' } } }).url).to.equal(
      'https://hooks.slack.com/services/s3cret',
    )
    const incident = requestTo({ pagerduty: { routingKeySecretRef: { name: 'keys', key: 'pagerduty' } } })
    expect([incident.url, incident.body.routing_key]).to.deep.equal([
      'https://events.pagerduty.com/v2/enqueue',
      'routing',
    ])
  })

  it('logs in to Alertmanager with a name and a password, or a token', () => {
    const url = 'http://alertmanager:9093'
    const headersOf = (more: object) => requestTo({ alertmanager: { url, ...more } }).headers
    expect(headersOf({ basicSecretRef: { name: 'login' } }).Authorization).to.equal(`Basic ${btoa('me:pass')}`)
    expect(headersOf({ bearerSecretRef: { name: 'keys', key: 'hmac' } }).Authorization).to.equal('Bearer k3y')
    expect(headersOf({})).to.not.have.property('Authorization')
  })

  it('needs no folder where nothing is secret', () => {
    const receiver = create({ webhook: { url: 'https://hook.example.com' } }, undefined)
    expect(receiver.requests([message()], false).length).to.equal(1)
  })

  for (const [what, key, said] of [
    ['is not there', 'none', /Cannot read .*wrong\/none/],
    ['is empty', 'empty', /Cannot use .*wrong\/empty: it must hold one line/],
    ['is no address', 'url', /Cannot use .*wrong\/url: it must hold an http address$/],
    ['is another kind of address', 'file', /Cannot use .*wrong\/file: it must hold an http address$/],
  ] as const)
    it(`is refused where its secret ${what}, and the secret is not told`, () => {
      expect(() => create({ slack: { urlSecretRef: { name: 'wrong', key } } })).to.throw(said)
      expect(() => create({ slack: { urlSecretRef: { name: 'wrong', key } } })).to.not.throw(/s3cret|passwd/)
    })

  it('says which file it wants where there is no folder', () => {
    const slack = { urlSecretRef: { name: 'receivers', key: 'chat' } }
    expect(() => createReceiver({ name: 'it', slack }, { ...context, secretsFolder: undefined })).to.throw(
      'notifications it: slack.urlSecretRef names a Secret: put its entries into files FOLDER/receivers/chat and give --secrets-folder FOLDER',
    )
  })
})
