import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { Redis as Client } from 'ioredis'
import { type Redis, startRedis } from '../../tools/servers/redis.ts'
import { createRedisState } from '../../workloads/state/redis.ts'
import { suiteSettings } from '../../workloads/state/state-suite.ts'

const run = promisify(execFile)
const log = { debug() {}, info() {}, warn() {}, error() {} }
const anomaly = join(import.meta.dirname, '../../bin/anomaly')
const prefix = 'anomaly:shop:payments:'
const settings = { ...suiteSettings, featureTtlSeconds: 600, profileTtlSeconds: 600 }

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('anomaly state copy', () => {
  let [one, other] = [] as unknown as [Redis, Redis]
  let [from, to] = [] as unknown as [Client, Client]

  before(async () => {
    ;[one, other] = await Promise.all([startRedis(), startRedis({ args: ['--requirepass', 'secret'] })])
    from = new Client(one.port)
    to = new Client({ port: other.port, password: 'secret' })
    to.on('error', () => {})
  })
  after(async () => {
    for (const client of [from, to]) client?.disconnect()
    await Promise.all([one?.stop(), other?.stop()])
  })
  beforeEach(() => Promise.all([from.flushall(), to.flushall()]))

  const target = () => `redis://:secret@127.0.0.1:${other.port}`
  async function copy(...args: readonly string[]): Promise<string> {
    const flags = ['--from', one.url, '--to', target(), '--to-prefix', prefix, '--log-level', 'silent', ...args]
    return run(anomaly, ['state', 'copy', ...flags]).then(
      ({ stdout }) => stdout.trim(),
      ({ stderr }: { stderr: string }) => stderr.trim(),
    )
  }
  const open = async (url: string, keyPrefix: string) => {
    const store = createRedisState({ ...settings, url, keyPrefix, encoding: 1, log })
    await store.start!(new AbortController().signal)
    return store
  }

  /** Of each kind of key at least one. */
  async function learn(url: string, keyPrefix: string, keys = 1200): Promise<void> {
    const store = await open(url, keyPrefix)
    const { epoch } = await store.partitions.take(3)
    const payloads = new Map(Array.from({ length: keys }, (_, i) => [`ü-${i}`, Uint8Array.from([i % 256, 255, 0])]))
    const features = new Map([['ü-1', '{"x":1}']])
    const partials = new Map(
      Array.from({ length: keys }, (_, i) => [`t:${i}`, { payload: Uint8Array.from([i % 256]), isRisky: i % 2 === 0 }]),
    )
    await store.partitions.flush(3, epoch, { keys: payloads, partition: Uint8Array.from([9]), features, partials })
    await store.said.put([
      { eventId: 'ü', key: 'k', label: 'FalseAlarm', time: 1, anomalyScore: 0.9, reasons: [] },
      { eventId: 'f', key: 'k', label: 'Confirmed', time: 2.5, anomalyScore: 0.9, reasons: [] },
    ])
    await store.features.extend(['x', 'y'])
    await store.features.use(['x'], 1000)
    await store.results.claim([{ eventId: 'e', fingerprint: 'f', place: { partition: 3, offset: 7 } }], 40)
    await store.models.put('v1', new Uint8Array(3_000_000).fill(128))
    await store.models.swap(undefined, { version: 'v1', rowsSeen: 5 })
    await store.models.putReservoir('a', Uint8Array.from([1]))
    await store.models.putReservoir('b', Uint8Array.from([2]))
    await store.stop!()
  }

  /** Every key with its value, by its name without the prefix. */
  async function contentOf(client: Client, keyPrefix: string): Promise<Readonly<Record<string, string>>> {
    const names = (await client.keys(`${keyPrefix}*`)).sort().filter((name) => name !== `${keyPrefix}copy`)
    const dumped = names.map(async (name) => {
      const lasts = (await client.ttl(name)) < 0 ? 'for ever' : 'for a while'
      const type = await client.type(name)
      const value =
        type === 'hash'
          ? JSON.stringify(Object.entries(await client.hgetall(name)).sort())
          : type === 'set'
            ? JSON.stringify((await client.smembers(name)).sort())
            : (await client.dumpBuffer(name))!.toString('hex')
      return [name.slice(keyPrefix.length), `${type} ${lasts} ${value}`] as const
    })
    return Object.fromEntries(await Promise.all(dumped))
  }

  it('copies every key, for as long as each has left, under the other prefix, and back', async () => {
    await learn(one.url, '')
    await to.set('somebody-elses', 'value')
    const content = await contentOf(from, '')
    const keys = Object.keys(content).length
    const began = Date.now()
    expect(await copy()).to.equal(
      `Copied ${keys} keys and read them back: from Redis at 127.0.0.1:${one.port} to Redis at 127.0.0.1:${other.port}`,
    )
    expect(await contentOf(to, prefix)).to.deep.equal(content)
    expect(await to.get('somebody-elses')).to.equal('value')
    const name = 'profile:3:ü-1'
    const later = (await to.pexpiretime(`${prefix}${name}`)) - (await from.pexpiretime(name))
    expect(later).to.be.within(-1, Date.now() - began)

    // It learns on there, and goes back to where the former profiles still are.
    const store = await open(target(), prefix)
    const { epoch } = await store.partitions.take(3)
    await store.partitions.flush(3, epoch, { keys: new Map([['new', Uint8Array.from([1])]]) })
    await store.stop!()
    await to.del(`${prefix}profile:3:ü-7`)
    const learnt = await contentOf(to, prefix)
    const flags = ['--from', target(), '--from-prefix', prefix, '--to', one.url, '--log-level', 'silent']
    await run(anomaly, ['state', 'copy', ...flags])
    expect(await contentOf(from, '')).to.deep.equal(learnt)
    const back = await open(one.url, '')
    const { formerEpoch, state } = await back.partitions.take(3)
    await back.stop!()
    expect([formerEpoch, [...state!]]).to.deep.equal([epoch, [9]])
  })

  it('begins anew what was interrupted, and leaves alone what the same copy had finished', async () => {
    await learn(one.url, '')
    const content = await contentOf(from, '')
    await to.mset(`${prefix}copy`, 'copying a', `${prefix}profile:3:ü-1`, 'half', `${prefix}profile:9:gone`, 'old')
    expect(await copy('--id', 'a')).to.match(/^Copied \d+ keys/)
    expect(await contentOf(to, prefix)).to.deep.equal(content)

    await to.set(`${prefix}profile:3:ü-1`, 'learnt since')
    expect(await copy('--id', 'a')).to.match(/^It had been copied before/)
    expect(await to.get(`${prefix}profile:3:ü-1`)).to.equal('learnt since')
    expect(await copy('--id', 'b')).to.match(/^anomaly: Nothing was copied: Redis at .* has keys already/)
    expect(await to.get(`${prefix}profile:3:ü-1`)).to.equal('learnt since')
  })

  it('overwrites nothing that may be in use, and copies no part of a copy', async () => {
    await learn(one.url, '', 3)
    await to.set(`${prefix}profile:0:a`, 'theirs')
    expect(await copy()).to.equal(
      `anomaly: Nothing was copied: Redis at 127.0.0.1:${other.port} has keys already that begin with ${prefix}: they may be in use; delete them, or choose another prefix`,
    )
    await to.del(`${prefix}profile:0:a`)
    await from.set('copy', 'copying x')
    expect(await copy()).to.match(/has no more than part of a copy$/)
    expect(await to.dbsize()).to.equal(0)
  })

  it('does not take one place for two', async () => {
    await learn(one.url, '', 3)
    const before = await contentOf(from, '')
    expect(await copy('--to', one.url)).to.match(/given only once/)
    const same = (...args: readonly string[]) =>
      run(anomaly, ['state', 'copy', '--from', one.url, '--to', one.url, '--log-level', 'silent', ...args]).then(
        () => 'copied',
        ({ stderr }: { stderr: string }) => stderr.trim(),
      )
    expect(await same('--to-prefix', prefix)).to.match(/both places are the same, or one holds the other$/)
    await from.set('copy', 'moved x')
    expect(await same()).to.match(/both places are the same/)
    expect(await contentOf(from, '')).to.deep.equal(before)
  })

  it('is not used where the other server had to let keys go', async () => {
    await learn(one.url, '', 3)
    await to.config('SET', 'maxmemory', '3mb', 'maxmemory-policy', 'volatile-lru')
    try {
      expect(await copy()).to.match(/too little memory|OOM/)
      expect(await to.get(`${prefix}copy`)).to.match(/^copying /)
      expect(await from.get('copy')).to.equal(null)
    } finally {
      await to.config('SET', 'maxmemory', '0')
    }
  })

  it('says which server is away, and repeats no password', async () => {
    await other.kill()
    try {
      const said = await copy()
      expect(said).to.match(/^anomaly: Redis at 127\.0\.0\.1:\d+ is unreachable/)
      expect(said).not.to.include('secret')
    } finally {
      await other.restart()
    }
  })
})
