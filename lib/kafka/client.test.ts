import { once } from 'node:events'
import { createServer } from 'node:net'
import { inspect } from 'node:util'
import { expect } from 'chai'
import { openAdmin } from './admin.ts'
import { joinGroup } from './group.ts'
import { connectProducer } from './producer.ts'
import { transactionalProducers } from './transactional-producer.ts'

describe('Kafka client', () => {
  it('tells nobody its secrets, whatever a broker answers', async () => {
    const secret = 'hunter2-and-more'
    const told: unknown[] = []
    const note = (fields: unknown, message: string): void => void told.push(fields, message)
    const log = { debug: note, info: note, warn: note, error: note }
    let answers = 0
    const server = createServer((socket) => {
      socket.on('error', () => {})
      // ApiVersions with SASL requests; whatever follows is answered by its own bytes, then with nothing.
      socket.on('data', (bytes) => {
        const reply = Buffer.alloc(8 + 2 + 4 + 6 * 3 + 4)
        reply.writeInt32BE(reply.length - 4)
        bytes.copy(reply, 4, 8, 12)
        reply.writeInt32BE(3, 10)
        for (const [i, key] of [17, 18, 36].entries()) {
          reply.writeInt16BE(key, 14 + 6 * i)
          reply.writeInt16BE(1, 18 + 6 * i)
        }
        if (bytes.readInt16BE(4) === 18) socket.write(reply)
        else if (answers++ % 2 === 0) socket.end(bytes)
        else socket.destroy()
      })
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as { port: number }
    for (const mechanism of ['Plain', 'ScramSha256'] as const) {
      const settings = {
        brokers: [`127.0.0.1:${port}`],
        clientId: 'test',
        sasl: { mechanism, username: 'user', password: secret },
        log,
      }
      const admin = openAdmin(settings, { timeoutMs: 400 })
      const events = { leaving: async () => {}, outOfRange: async () => {}, batch: async () => {} }
      const group = {
        groupId: 'g',
        topics: ['t'],
        sessionTimeoutMs: 1000,
        maxBytesPerPartition: 1,
        maxPartitionsAtOnce: 1,
      }
      const attempts = [
        admin.topicOffsets('t'),
        connectProducer(settings),
        transactionalProducers(settings, { timeoutMs: 400 })('id'),
        joinGroup(
          settings,
          { ...group, maxWaitMs: 10, metadataMaxAgeMs: 1000 },
          { ...events, joined: () => {}, polled: () => {}, heard: () => {}, crashed: (error) => void told.push(error) },
        ),
      ]
      for (const outcome of await Promise.allSettled(attempts)) {
        expect(outcome.status).to.equal('rejected')
        told.push((outcome as PromiseRejectedResult).reason)
      }
      admin.close()
    }
    server.close()
    const all = inspect(told, { depth: 20, showHidden: true, maxStringLength: null, maxArrayLength: null })
    expect(all.length).to.be.greaterThan(1000)
    for (const form of [secret, Buffer.from(secret).toString('base64'), Buffer.from(secret).toString('hex')]) {
      expect(all).to.not.contain(form)
    }
  }).timeout(20_000)
})
