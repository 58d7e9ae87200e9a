import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import { type NameServer, startNameServer } from '../../tools/servers/dns.ts'
import { type Redis, startRedis } from '../../tools/servers/redis.ts'
import { freePorts } from '../../tools/servers/server.ts'
import { eventually } from '../harness/eventually.ts'
import { type ServedProcess, spawnInference } from './inference/serve.ts'

interface Call {
  readonly outcome: string
  readonly tookMs: number
}

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Scoring when inference fails', () => {
  let redis: Redis
  let names: NameServer
  let port: number
  let calls: Call[]
  let caller: ChildProcess | undefined
  const processes: ServedProcess[] = []

  before(async () => {
    redis = await startRedis()
    names = await startNameServer()
  })
  after(async () => {
    await redis?.stop()
    await names?.stop()
  })
  beforeEach(async () => {
    ;[port] = (await freePorts(1)) as [number]
  })
  afterEach(async () => {
    caller?.kill('SIGKILL')
    for (const one of processes.splice(0)) await one.kill()
  })

  async function start(host: string, options: { readonly drainSeconds?: number } = {}): Promise<ServedProcess> {
    const [probesPort] = (await freePorts(1)) as [number]
    const replica = `${host}:${port}`
    const served = await spawnInference({ host, port, probesPort, redisUrl: redis.url, replica, ...options })
    processes.push(served)
    return served
  }

  /** A process that scores all the time, and finds addresses as a pod does. */
  async function call(): Promise<void> {
    calls = []
    const script = new URL('./inference/caller.ts', import.meta.url).pathname
    caller = spawn(process.execPath, [script, `dns://127.0.0.1:${names.port}/inference.test:${port}`], {
      env: { ...process.env, GRPC_NODE_USE_ALTERNATIVE_RESOLVER: 'true' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    createInterface({ input: caller.stdout! }).on('line', (line) => calls.push(JSON.parse(line)))
    await eventually(() => expect(calls.at(-1)?.outcome).to.equal('OK'))
  }

  const longest = (of: readonly Call[]): number => Math.max(...of.map(({ tookMs }) => tookMs))
  const latest = (count: number): string[] => calls.slice(-count).map(({ outcome }) => outcome)
  const recovered = (withinMs: number) =>
    eventually(() => expect(latest(20)).to.deep.equal(Array(20).fill('OK')), withinMs)

  function expectBoundedFailures(from: number): void {
    const failed = calls.slice(from).filter(({ outcome }) => outcome !== 'OK')
    expect(failed.length).to.be.above(0)
    for (const { outcome } of failed) expect(outcome).to.be.oneOf(['Unavailable', 'DeadlineExceeded'])
  }

  it('finds the server at another address after it was killed', async () => {
    names.answer(['127.0.0.1'])
    const first = await start('127.0.0.1')
    await call()
    const from = calls.length
    await first.kill()
    names.answer(['127.0.0.2'])
    await delay(3000)
    await start('127.0.0.2')
    await recovered(10_000)
    expectBoundedFailures(from)
  })

  it('fails within its deadline while the server hangs, and goes on when it does', async () => {
    names.answer(['127.0.0.1'])
    const only = await start('127.0.0.1')
    await call()
    const from = calls.length
    only.pause()
    await delay(6000)
    expectBoundedFailures(from)
    expect(longest(calls.slice(-3)), 'callers degrade sooner once it is known').to.be.below(longest(calls.slice(from)))
    only.resume()
    await recovered(10_000)
  })

  it('deals calls out among all servers, also to one that comes later', async () => {
    names.answer(['127.0.0.1', '127.0.0.2'])
    const servers = [await start('127.0.0.1'), await start('127.0.0.2')]
    await call()
    const answered = async (served: ServedProcess, code: string): Promise<number> => {
      const line = new RegExp(`^anomaly_rpc_total{method="ScoreRows",code="${code}"} (\\d+)`, 'm')
      return Number(line.exec((await served.probe('/metrics')).text)?.[1] ?? 0)
    }
    const shares = async (): Promise<number[]> => Promise.all(servers.map((served) => answered(served, 'OK')))
    await eventually(async () => expect(Math.min(...(await shares()))).to.be.above(100))
    const [one, other] = (await shares()) as [number, number]
    expect(one / other).to.be.within(0.8, 1.25)
    await servers[0]!.kill()
    servers[0] = await start('127.0.0.1')
    await eventually(async () => expect(Math.min(...(await shares()))).to.be.above(100))
    expect(
      await answered(servers[0], 'FAILED_PRECONDITION'),
      'calls without columns to one that does not know them',
    ).to.be.below(5)
  })

  it('loses no call when one of two servers is asked to end', async () => {
    names.answer(['127.0.0.1', '127.0.0.2'])
    const [one, other] = [await start('127.0.0.1', { drainSeconds: 1 }), await start('127.0.0.2')]
    await call()
    for (const served of [one, other])
      await eventually(async () => expect((await served.status()).rowsSeen).to.be.above(0))
    const from = calls.length
    const stopped = one.stop()
    names.answer(['127.0.0.2'])
    await stopped
    const ended = calls.length
    await eventually(() => expect(calls.length).to.be.above(ended + 20))
    expect(new Set(calls.slice(from).map(({ outcome }) => outcome))).to.deep.equal(new Set(['OK']))
  })

  it('uses the other server while one hangs', async () => {
    names.answer(['127.0.0.1', '127.0.0.2'])
    const [one, other] = [await start('127.0.0.1'), await start('127.0.0.2')]
    await call()
    for (const served of [one, other])
      await eventually(async () => expect((await served.status()).rowsSeen).to.be.above(0))
    const from = calls.length
    one.pause()
    await delay(4000)
    const outcomes = calls.slice(from).map(({ outcome }) => outcome)
    expect(outcomes.filter((outcome) => outcome !== 'OK')).to.deep.equal([])
    expect(latest(20)).to.deep.equal(Array(20).fill('OK'))
    expect(longest(calls.slice(-20)), 'none waits for the one that hangs').to.be.below(longest(calls.slice(from)))
    one.resume()
  })
})
