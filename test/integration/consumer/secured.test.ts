import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { ClientTls } from '../../../tools/servers/certificates.ts'
import { kafkaUser } from '../../../tools/servers/kafka/kafka.ts'
import { removeFolder, temporaryFolder } from '../../../tools/servers/server.ts'
import { type Access, type Cluster, redisUser, type Scene, startCluster } from './cluster.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('A pipeline whose servers let nobody in without more', () => {
  const folder = temporaryFolder('secured')
  let cluster: Cluster
  let scene: Scene

  before(async () => {
    cluster = await startCluster({ secured: true })
  })
  after(async () => {
    await cluster?.stop()
    removeFolder(folder)
  })
  afterEach(() => scene?.stop())

  function fileOf(name: string, text: string): string {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }

  const secret = { name: 'in-files' }
  const login = (mechanism: string) => ({
    source: { sasl: { mechanism, secretRef: secret } },
    flags: [
      ...['--kafka-username-file', fileOf('username', kafkaUser.username)],
      ...['--kafka-password-file', fileOf('password', `${kafkaUser.password}\n`)],
    ],
  })
  const authority = ({ ca }: ClientTls) => ['--kafka-ca-file', fileOf('kafka-ca.crt', ca)]
  const ways: Record<string, () => Pick<Access, 'brokers' | 'source' | 'kafkaFlags'>> = {
    'SASL PLAIN': () => {
      const { source, flags } = login('Plain')
      return { brokers: cluster.kafka.secured!.saslPlaintext, source, kafkaFlags: flags }
    },
    'SCRAM-SHA-256': () => {
      const { source, flags } = login('ScramSha256')
      return { brokers: cluster.kafka.secured!.saslPlaintext, source, kafkaFlags: flags }
    },
    'SCRAM-SHA-512 over TLS': () => {
      const { source, flags } = login('ScramSha512')
      const { saslTls, tls } = cluster.kafka.secured!
      const kafkaFlags = [...flags, ...authority(tls)]
      return { brokers: saslTls, source: { ...source, tls: { caSecretRef: { ...secret, key: 'ca.crt' } } }, kafkaFlags }
    },
    'mutual TLS': () => {
      const { mutualTls, tls } = cluster.kafka.secured!
      const own = ['--kafka-cert-file', fileOf('own.crt', tls.cert), '--kafka-key-file', fileOf('own.key', tls.key)]
      const source = { tls: { caSecretRef: { ...secret, key: 'ca.crt' }, certificateSecretRef: secret } }
      return { brokers: mutualTls, source, kafkaFlags: [...authority(tls), ...own] }
    },
  }

  function redisAccess(): Pick<Access, 'redisUrl' | 'redis' | 'state'> {
    const { url, client } = cluster.redis.tls!
    const { name, password, keyPrefix } = redisUser
    return {
      redisUrl: url.replace('://', `://${name}:${encodeURIComponent(password)}@`),
      redis: {
        redisCaFile: fileOf('redis-ca.crt', client.ca),
        redisCertFile: fileOf('redis.crt', client.cert),
        redisKeyFile: fileOf('redis.key', client.key),
      },
      state: { redis: { external: { urlSecretRef: { ...secret, key: 'url' }, keyPrefix } } },
    }
  }

  for (const [name, way] of Object.entries(ways)) {
    it(`works with ${name} to Kafka, and a user over mutual TLS to Redis; it makes its topics`, async () => {
      scene = await cluster.scene({ access: { ...way(), ...redisAccess() }, hasTopics: false })
      const inference = (await scene.inference()).address
      const consumer = await scene.consumer({ inference })
      const api = await scene.api({ inference })
      await scene.feed(600)
      const headers = { 'Content-Type': 'application/json' }
      const body = JSON.stringify({ eventId: 'asked', userId: 'user-1', value: 50 })
      const answer = await fetch(`${api.url}/api/v1/detect`, { method: 'POST', headers, body })
      const text = await answer.text()
      expect(answer.status, text).to.equal(200)
      await scene.caughtUp()
      const verdicts = await scene.expectExact()
      expect(verdicts.length).to.equal(601)
      expect(verdicts.find(({ eventId }) => eventId === 'asked')).to.deep.equal(JSON.parse(text))
      await scene.expectAllLearnt()
      expect(await consumer.status()).to.include({ kafka: 'ok', redis: 'ok', inference: 'ok' })
    })
  }
})
