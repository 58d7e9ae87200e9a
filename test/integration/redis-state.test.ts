import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { createLogger, type Logger } from '../../lib/log.ts'
import { type Redis, startRedis } from '../../tools/servers/redis.ts'
import {
  ask,
  freePorts,
  removeFolder,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../../tools/servers/server.ts'
import { createRedisState, type RedisState, type RedisStateOptions } from '../../workloads/state/redis.ts'
import { behavesAsStateStore, suiteSettings } from '../../workloads/state/state-suite.ts'
import { WriteBehind } from '../../workloads/state/write-behind.ts'
import { eventually } from '../harness/eventually.ts'

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Redis state', () => {
  let redis: Redis
  const opened: RedisState[] = []

  before(async () => {
    redis = await startRedis()
  })
  after(() => redis?.stop())
  beforeEach(() => raw('FLUSHALL'))
  afterEach(() => Promise.all(opened.splice(0).map((store) => store.stop!())))

  async function open(options: Partial<RedisStateOptions> = {}): Promise<RedisState> {
    const store = createRedisState({ url: redis.url, encoding: 1, log: silent, ...suiteSettings, ...options })
    opened.push(store)
    await store.start!(new AbortController().signal)
    return store
  }

  /** A command that the server gets as it stands; the reply as it comes. */
  async function raw(command: string, port = redis.port): Promise<string> {
    const complete = (answer: Buffer) => answer.includes('\r\n')
    return String(await ask(port, Buffer.from(`${command}\r\n`), complete))
  }

  const claimed = (eventId: string) => ({ eventId, fingerprint: 'f', place: { partition: 3, offset: 70 } })

  async function keys(pattern: string): Promise<string[]> {
    const complete = (answer: Buffer) => answer.includes('\r\n')
    const answer = String(await ask(redis.port, Buffer.from(`KEYS ${pattern}\r\n`), complete))
    return answer.split('\r\n').filter((line) => line.startsWith(pattern.slice(0, -1)))
  }

  const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
  const some = { keys: new Map([['u', bytes(1)]]), partition: bytes(2), features: new Map([['u', '{"x":1}']]) }

  async function failure(promise: Promise<unknown>): Promise<AppError> {
    const error = await promise.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error).to.be.instanceOf(AppError)
    return error as AppError
  }

  behavesAsStateStore(open, delay)

  describe('what is stored', () => {
    it('has a time to live exactly where it may be evicted', async () => {
      const store = await open({ keyPrefix: 'p:' })
      const { epoch } = await store.partitions.take(3)
      const partials = new Map([['terminal:t', { payload: bytes(1), isRisky: true }]])
      await store.partitions.flush(3, epoch, { ...some, partials })
      await store.features.extend(['x'])
      await store.features.use(['x'], 1000)
      await store.results.claim([claimed('claimed')], 30)
      await store.results.put([{ eventId: 'e', json: '{}', fingerprint: 'f' }], 40)
      for (const version of ['v1', 'v2', 'v3']) await store.models.put(version, bytes(1))
      await store.models.swap(undefined, { version: 'v1', rowsSeen: 1 })
      await store.models.swap('v1', { version: 'v2', rowsSeen: 1 })
      await store.models.putReservoir('pod', bytes(1))
      await store.models.lock(50)
      const ttl = async (name: string) => Number((await raw(`TTL p:${name}`)).slice(1))
      const { profileTtlSeconds, featureTtlSeconds } = suiteSettings
      for (const [name, seconds] of Object.entries({
        'profile:3:u': profileTtlSeconds,
        'feature:u': featureTtlSeconds,
        'secondary:terminal:t': profileTtlSeconds,
        secondary: profileTtlSeconds,
        'result:claimed': 30,
        'result:e': 40,
        'model:v1': 30 * 24 * 3600,
        'model:v3': 3600,
        'reservoir:pod': 30 * 24 * 3600,
        'model:lock': 50,
      }))
        expect(await ttl(name), name).to.be.within(seconds - 1, seconds)
      for (const name of ['partition:3', 'schema', 'schema:used', 'model:current', 'model:v2', 'reservoirs'])
        expect(await ttl(name), name).to.equal(-1)
      expect(await keys('p:claimant:*')).to.have.length(1)
      expect(await raw('DBSIZE')).to.equal(':17\r\n')
    })

    it('is ignored with a count where another version of the program wrote it, and written over', async () => {
      const former = await open({ encoding: 1 })
      const { epoch } = await former.partitions.take(0)
      await former.partitions.flush(0, epoch, {
        ...some,
        keys: new Map([
          ['u', bytes(1)],
          ['v', bytes()],
        ]),
      })
      await raw('SET profile:0:short x')
      const foreign: string[] = []
      const store = await open({ encoding: 0xff00_0002, onForeign: (what) => foreign.push(what) })
      expect(await store.partitions.loadKeys(0, ['u', 'v', 'short', 'none'])).to.deep.equal(Array(4).fill(undefined))
      const taken = await store.partitions.take(0)
      expect(taken.state).to.equal(undefined)
      expect(taken.formerEpoch, 'epochs order owners of every version').to.equal(epoch)
      expect(foreign).to.deep.equal(['profile', 'profile', 'profile', 'partition'])
      expect(await store.partitions.flush(0, taken.epoch, some)).to.equal('Written')
      expect([...(await store.partitions.loadKeys(0, ['u']))[0]!]).to.deep.equal([1])
      expect(await former.partitions.flush(0, epoch, some), 'during an upgrade').to.equal('Fenced')
    })

    it('is refused, not overwritten, where something else has the name', async () => {
      const store = await open()
      await raw('SET schema text')
      expect((await failure(store.features.names())).code).to.equal('Internal')
      expect((await failure(store.features.extend(['x']))).retriable).to.equal(false)
    })

    it('costs one read for the keys of a batch and one write for what it changed', async () => {
      const store = await open()
      const { epoch } = await store.partitions.take(0)
      const keys = new Map(Array.from({ length: 1000 }, (_, i) => [`user-${i}`, new Uint8Array(100)]))
      const calls = async (...commands: string[]): Promise<number> => {
        const answer = String(
          await ask(redis.port, Buffer.from('INFO commandstats\r\n'), (a) => a.includes('\r\n\r\n')),
        )
        let sum = 0
        for (const command of commands) sum += Number(answer.match(`cmdstat_${command}:calls=(\\d+)`)?.[1] ?? 0)
        return sum
      }
      await store.partitions.flush(0, epoch, { keys })
      const [reads, writes] = [await calls('mget', 'get'), await calls('eval', 'evalsha')]
      await store.partitions.loadKeys(0, [...keys.keys()])
      await store.partitions.flush(0, epoch, { keys, partition: bytes(1) })
      expect(await calls('mget', 'get')).to.equal(reads + 1)
      expect(await calls('eval', 'evalsha')).to.equal(writes + 1)
      // 3 MB of 2,400 keys: by bytes four steps, none above 1 MiB
      const large = new Map(
        [...keys.keys()].flatMap((key) => [
          [key, new Uint8Array(1000)],
          [`${key}b`, new Uint8Array(2000)],
        ]),
      )
      await store.partitions.flush(0, epoch, { keys: large as Map<string, Uint8Array> })
      expect(await calls('eval', 'evalsha')).to.equal(writes + 1 + 3)
    })

    it('stays where the server forgets its scripts', async () => {
      const store = await open()
      const { epoch } = await store.partitions.take(0)
      await store.partitions.flush(0, epoch, some)
      await raw('SCRIPT FLUSH')
      expect(await store.partitions.flush(0, epoch, some)).to.equal('Written')
    })
  })

  it('lists the features of a pipeline at the command line, and forgets some', async () => {
    const store = await open()
    await store.features.extend(['amount', 'junk', 'items'])
    const anomaly = join(import.meta.dirname, '../../bin/anomaly.ts')
    const file = join(import.meta.dirname, '../../manifests/pipelines/minimal.yaml')
    const schema = async (...args: string[]) => {
      const given = [anomaly, 'schema', ...args, '-f', file, '--redis-url', redis.url]
      return promisify(execFile)(process.execPath, given).then(
        ({ stdout }) => stdout,
        ({ code, stderr }) => `${code} ${stderr}`,
      )
    }
    expect(await schema('forget', 'junk')).to.equal('junk\n')
    expect(await schema('list')).to.equal('amount\nitems\n')
    expect(await schema('forget', 'junk')).to.match(/^2 .*no feature junk/)
    expect(await schema('forget')).to.match(/^2 .*Name the features to forget/)
  })

  it('takes no more new names in an hour than may come', async () => {
    const store = await open({ maxFeatures: 2000, keyPrefix: 'p:' })
    await store.features.extend(['first'])
    const names = Array.from({ length: 700 }, (_, i) => `f${i}`)
    expect(await store.features.extend(names.slice(0, 400))).to.have.length(401)
    expect(await store.features.extend(names)).to.have.length(501)
    expect(await store.features.extend(['one more'])).to.have.length(501)
    await raw('DEL p:schema:new')
    expect(await store.features.extend(['one more'])).to.have.length(502)
  })

  describe('claims', () => {
    it('of a process that is gone go to who asks next with the same body, and with them where the event may be', async () => {
      const store = await open({ keyPrefix: 'p:' })
      const other = await open({ keyPrefix: 'p:' })
      const place = { partition: 3, offset: 70, topicId: 'Zl0_-w' }
      await store.results.claim([{ ...claimed('a'), place }, claimed('b'), claimed('c')], 60)
      expect((await other.results.claim([claimed('a')], 60))[0]!.type).to.equal('Pending')
      for (const name of (await keys('p:claimant:*')).slice()) await raw(`DEL ${name}`)
      const moved = { ...claimed('a'), place: { partition: 1, offset: 999 } }
      const asked = [moved, { ...claimed('b'), fingerprint: 'another' }, claimed('c')]
      expect(await other.results.claim(asked, 60)).to.deep.equal([
        { type: 'Abandoned', place },
        { type: 'Pending', fingerprint: 'f' },
        { type: 'Abandoned', place: { partition: 3, offset: 70 } },
      ])
      await store.results.release(['a'])
      expect((await store.results.claim([claimed('a')], 60))[0]!.type).to.equal('Pending')
      for (const name of await keys('p:claimant:*')) await raw(`DEL ${name}`)
      await other.results.live()
      expect((await store.results.claim([claimed('a')], 60))[0]!.type).to.equal('Pending')
    })

    it('and verdicts of an earlier release are what they were', async () => {
      const store = await open({ keyPrefix: 'p:' })
      await raw(String.raw`SET p:result:claimed "\x00e3b0" EX 30`)
      await raw(String.raw`SET p:result:judged "{\"eventId\":\"judged\"}"`)
      expect(await store.results.claim([claimed('claimed'), claimed('judged')], 60)).to.deep.equal([
        { type: 'Pending', fingerprint: undefined },
        { type: 'Verdict', json: '{"eventId":"judged"}', fingerprint: undefined },
      ])
    })
  })

  describe('flush', () => {
    it('refuses what comes late over a connection that was given up', async () => {
      const store = await open()
      const { epoch } = await store.partitions.take(0)
      await store.partitions.flush(0, epoch, some)
      await raw('HSET partition:0 flush 2')
      expect(await store.partitions.flush(0, epoch, { ...some, keys: new Map([['u', bytes(9)]]) })).to.equal('Fenced')
      expect([...(await store.partitions.loadKeys(0, ['u']))[0]!]).to.deep.equal([1])
    })

    it('tells that the server came back with older data', async () => {
      const store = await open()
      const { epoch } = await store.partitions.take(0)
      for (let i = 0; i < 3; i++) await store.partitions.flush(0, epoch, some)
      await raw('HSET partition:0 flush 2')
      expect(await store.partitions.flush(0, epoch, some)).to.equal('Refill')
      expect(await store.partitions.flush(0, epoch, some)).to.equal('Written')
      await raw(`HSET partition:0 epoch ${epoch - 1000} flush 80`)
      expect(await store.partitions.flush(0, epoch, some), 'of a former owner').to.equal('Refill')
      expect(await store.partitions.flush(0, epoch, some)).to.equal('Written')
    })

    it('lets one of two owners win, whatever the order of their flushes', async () => {
      const [one, other] = [await open(), await open()]
      const first = await one.partitions.take(0)
      await delay(5)
      const second = await other.partitions.take(0)
      expect(second.epoch).to.be.greaterThan(first.epoch)
      const outcomes = await Promise.all(
        Array.from({ length: 40 }, async (_, i) =>
          i % 2 === 0
            ? one.partitions.flush(0, first.epoch, { keys: new Map([['u', bytes(1)]]) })
            : other.partitions.flush(0, second.epoch, { keys: new Map([['u', bytes(2)]]) }),
        ),
      )
      expect(outcomes.filter((_, i) => i % 2 === 1)).to.not.include('Fenced')
      expect(outcomes[38]).to.equal('Fenced')
      expect([...(await one.partitions.loadKeys(0, ['u']))[0]!]).to.deep.equal([2])
    })
  })

  describe('a server that fails', () => {
    let server: Redis
    beforeEach(async () => {
      server = await startRedis()
    })
    afterEach(() => server.stop())

    it('killed and back, empty: calls fail at once, then everything in memory is written again', async () => {
      const store = await open({ url: server.url })
      const { epoch } = await store.partitions.take(0)
      const memory = new Map(Array.from({ length: 3000 }, (_, i) => [`user-${i}`, bytes(i)]))
      let fenced = 0
      const behind = new WriteBehind({
        partition: 0,
        epoch,
        store: store.partitions,
        memory: { keys: () => memory.keys(), saveKey: (key) => memory.get(key), savePartition: () => bytes(5) },
        log: silent,
        onFenced: () => fenced++,
        everyMs: 200,
      })
      behind.release(memory.keys())
      expect(await behind.flushNow()).to.equal(true)
      await server.kill()
      await eventually(() => expect(store.problem()).to.be.a('string'))
      for (let i = 0; i < 200; i++) {
        const error = await failure(store.partitions.loadKeys(0, ['user-1']))
        expect([error.code, error.retriable]).to.deep.equal(['Unavailable', true])
      }
      await eventually(() =>
        expect(store.problem()).to.match(/^Redis at 127.0.0.1:\d+ is unreachable for \d+ s: connect ECONN/),
      )
      memory.set('user-1', bytes(77))
      behind.release(['user-1'])
      await server.restart({ downMs: 3000 })
      await eventually(() => expect(store.problem()).to.equal(undefined))
      await eventually(async () => {
        const found = await store.partitions.loadKeys(0, [...memory.keys()])
        expect(found.filter((payload) => payload !== undefined).length).to.equal(3000)
        expect([...found[1]!]).to.deep.equal([77])
      })
      expect([...(await store.partitions.loadPartition(0))!]).to.deep.equal([5])
      expect(fenced).to.equal(0)
      await behind.close()
    })

    it('silent: calls end at their deadlines, the connection is given up, and work goes on when it answers', async () => {
      const store = await open({ url: server.url, readMs: 100, writeMs: 300, silenceMs: 500 })
      const { epoch } = await store.partitions.take(0)
      await store.partitions.flush(0, epoch, some)
      server.pause()
      try {
        expect((await failure(store.partitions.loadKeys(0, ['u']))).code).to.equal('DeadlineExceeded')
        const late = { ...some, keys: new Map([['u', bytes(99)]]) }
        expect((await failure(store.partitions.flush(0, epoch, late))).code).to.equal('DeadlineExceeded')
        await eventually(() => expect(store.problem()).to.be.a('string'))
        expect((await failure(store.partitions.loadKeys(0, ['u']))).code).to.equal('Unavailable')
      } finally {
        server.resume()
      }
      await eventually(() => expect(store.problem()).to.equal(undefined))
      expect(await store.partitions.flush(0, epoch, some)).to.equal('Written')
      expect([...(await store.partitions.loadKeys(0, ['u']))[0]!]).to.deep.equal([1])
    })

    it('not there at the start: the process starts, and finds it later', async () => {
      await server.kill()
      const store = await open({ url: server.url, startMs: 300 })
      expect((await failure(store.partitions.take(0))).code).to.equal('Unavailable')
      await server.restart()
      await eventually(async () => expect((await store.partitions.take(0)).formerEpoch).to.equal(undefined))
    })

    it('become a replica, or out of memory: refused for now, and everything goes on afterwards', async () => {
      const store = await open({ url: server.url })
      const { epoch } = await store.partitions.take(0)
      await raw('REPLICAOF 127.0.0.1 1', server.port)
      expect((await failure(store.partitions.flush(0, epoch, some))).code).to.equal('Unavailable')
      await raw('REPLICAOF NO ONE', server.port)
      await eventually(async () => expect(await store.partitions.flush(0, epoch, some)).to.equal('Written'))
      await raw('CONFIG SET maxmemory 1', server.port)
      const full = await failure(store.partitions.flush(0, epoch, some))
      expect([full.code, full.retriable]).to.deep.equal(['Unavailable', true])
      expect(full.message).to.contain('OOM')
      await raw('CONFIG SET maxmemory 0', server.port)
      expect(await store.partitions.flush(0, epoch, some)).to.equal('Written')
    })

    it('short of memory: profiles make room, epochs and calibration stay', async () => {
      const store = await open({ url: server.url })
      await raw('CONFIG SET maxmemory-policy volatile-lru', server.port)
      await raw('CONFIG SET maxmemory 4mb', server.port)
      const { epoch } = await store.partitions.take(0)
      await store.partitions.flush(0, epoch, { keys: new Map(), partition: bytes(5) })
      for (let round = 0; round < 10; round++) {
        const keys = new Map(Array.from({ length: 1000 }, (_, i) => [`${round}-${i}`, new Uint8Array(1000)]))
        expect(await store.partitions.flush(0, epoch, { keys })).to.equal('Written')
      }
      const first = await store.partitions.loadKeys(
        0,
        [...Array(1000).keys()].map((i) => `0-${i}`),
      )
      expect(first).to.include(undefined)
      expect([...(await store.partitions.loadPartition(0))!]).to.deep.equal([5])
    })
  })

  describe('a server that Sentinel knows', () => {
    let [primary, replica]: (Redis | undefined)[] = []
    let sentinel: ServerProcess | undefined
    afterEach(() => Promise.all([sentinel?.kill(), primary?.stop(), replica?.stop()]))

    it('is found by its name, and so is the one that takes its place', async () => {
      primary = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] })
      replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(primary.port)] })
      const folder = temporaryFolder('sentinel')
      const [port] = (await freePorts(1)) as [number]
      const settings = [
        `sentinel monitor main 127.0.0.1 ${primary.port} 1`,
        'sentinel down-after-milliseconds main 500',
        'sentinel failover-timeout main 3000',
      ]
      writeFileSync(join(folder, 'sentinel.conf'), settings.join('\n'))
      const args = [join(folder, 'sentinel.conf'), '--sentinel', '--port', String(port), '--dir', folder]
      const ready = async () => (await raw('SENTINEL REPLICAS main', port)).startsWith('*1')
      sentinel = await startServer('redis-server', args, { log: join(folder, 'log'), ready })
      const store = await open({ url: `redis+sentinel://127.0.0.1:${port}/main/0` })
      const { epoch } = await store.partitions.take(0)
      expect(await store.partitions.flush(0, epoch, some)).to.equal('Refill')
      await eventually(async () => expect(await raw('WAIT 1 500', primary!.port)).to.equal(':1\r\n'))
      await primary.kill()
      await eventually(async () =>
        expect(await store.partitions.flush(0, epoch, some)).to.be.oneOf(['Written', 'Refill']),
      )
      expect(await raw('GET feature:u', replica.port)).to.match(/^\$7/)
      removeFolder(folder)
    })
  })

  describe('a secured server', () => {
    let server: Redis
    before(async () => {
      const user = 'anomaly on >p@ss:w/rd% ~p:* -@all +@read +@write +@scripting +@connection +time +info'
      server = await startRedis({ tls: true, args: ['--user', ...user.split(' '), '--user', 'default', 'off'] })
    })
    after(() => server?.stop())

    const url = (secret: string): string =>
      server.tls!.url.replace('rediss://', `rediss://anomaly:${encodeURIComponent(secret)}@`)

    it('is reached with mutual TLS and a user who may touch only keys with the prefix', async () => {
      const store = await open({ url: url('p@ss:w/rd%'), tls: server.tls!.client, keyPrefix: 'p:' })
      expect(store.problem()).to.equal(undefined)
      const { epoch } = await store.partitions.take(0)
      expect(await store.partitions.flush(0, epoch, some)).to.equal('Refill')
      expect([...(await store.partitions.loadKeys(0, ['u']))[0]!]).to.deep.equal([1])
      await store.results.claim([claimed('e')], 10)
      await store.models.putReservoir('pod', bytes(1))
      expect((await store.models.reservoirs()).size).to.equal(1)
      await (await store.models.lock(10))!.release()
      const elsewhere = await open({ url: url('p@ss:w/rd%'), tls: server.tls!.client, keyPrefix: 'q:' })
      expect((await failure(elsewhere.features.extend(['x']))).code).to.equal('Unauthorized')
    })

    it('names a wrong password and an unknown authority, and never the password', async () => {
      const wrong = await open({ url: url('wr0ng'), tls: server.tls!.client, startMs: 500 })
      expect(wrong.problem()).to.contain('WRONGPASS').and.not.contain('wr0ng')
      const error = await failure(wrong.partitions.take(0))
      expect(error.code).to.equal('Unavailable')
      expect(error.message).to.contain('WRONGPASS')
      const lines: string[] = []
      const destination = { write: (line: string) => void lines.push(line) }
      const log = await createLogger({ level: 'trace', format: 'json', destination })
      const logged = await open({ url: url('wr0ng'), tls: server.tls!.client, startMs: 500, log })
      log.warn({ error: await failure(logged.partitions.take(0)) }, 'refused')
      const allowed = await open({ url: url('p@ss:w/rd%'), tls: server.tls!.client, keyPrefix: 'q:', log })
      log.warn({ error: await failure(allowed.features.extend(['s3cret'])) }, 'refused')
      expect(lines).to.have.length.at.least(3)
      for (const secret of ['wr0ng', 'p@ss', 's3cret']) expect(lines.join('')).to.not.contain(secret)
      const { cert, key } = server.tls!.client
      const unknown = await open({ url: url('p@ss:w/rd%'), tls: { cert, key }, startMs: 500 })
      expect(unknown.problem()).to.match(/self-signed|unable to verify|unable to get/i)
    })
  })

  it('refuses an unusable address or certificate at once, without repeating the password', () => {
    for (const [url, reason] of [
      ['http://:s3cret@redis', 'not such a URL'],
      ['redis:6379', 'not such a URL'],
      ['redis://:s3cret@', 'not such a URL'],
      ['redis://:s3cret@redis:port', 'host'],
      ['redis://:s3cret@one,two', 'several hosts'],
      ['redis://:s3cret@redis/db', 'database'],
      ['redis://:s3cret%@redis', 'escape'],
      ['redis+sentinel://:s3cret@one,two', 'name of the server'],
    ] as const) {
      const make = () => createRedisState({ url, encoding: 1, log: silent, ...suiteSettings })
      expect(make).to.throw(AppError, reason)
      expect(make).to.not.throw(/s3cret/)
    }
    const tls = { ca: 'not a certificate', cert: 'no', key: 'no' }
    expect(() => createRedisState({ url: redis.url, tls, encoding: 1, log: silent, ...suiteSettings })).to.throw(
      AppError,
      'certificates',
    )
  })
})
