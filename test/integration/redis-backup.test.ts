import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { Redis as Client } from 'ioredis'
import { backupScript, restoreScript } from '../../operator/desired/redis-backup.ts'
import { type Redis, startRedis } from '../../tools/servers/redis.ts'
import { removeFolder, temporaryFolder } from '../../tools/servers/server.ts'
import { createRedisState } from '../../workloads/state/redis.ts'
import { suiteSettings } from '../../workloads/state/state-suite.ts'

const run = promisify(execFile)
const log = { debug() {}, info() {}, warn() {}, error() {} }

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('Backups of Redis', () => {
  const password = 'secret'
  let folder: string
  const started: Redis[] = []

  beforeEach(() => {
    folder = temporaryFolder('redis-backup')
  })
  afterEach(async () => {
    for (const redis of started.splice(0)) await redis.stop()
    removeFolder(folder)
  })

  async function start(...args: readonly string[]): Promise<Redis> {
    const redis = await startRedis({ args: ['--requirepass', password, ...args] })
    started.push(redis)
    return redis
  }
  const backUp = ({ port }: Pick<Redis, 'port'>, keep = 7) =>
    run('sh', ['-c', backupScript], {
      env: {
        ...process.env,
        ...{ REDISCLI_AUTH: password, REDIS_HOST: '127.0.0.1', REDIS_PORT: String(port) },
        ...{ BACKUPS: folder, FOLDER: 'shop_payments', KEEP: String(keep) },
      },
    })
  const backups = () => readdirSync(join(folder, 'shop_payments'))
  const restore = (data: string, from = 'shop_payments') =>
    run('sh', ['-c', restoreScript], { env: { ...process.env, BACKUPS: folder, FROM: from, DATA: data } })

  /** Every key with its value, but for what passes. */
  async function contentOf({ port }: Redis): Promise<Readonly<Record<string, string>>> {
    const client = new Client({ port, password })
    try {
      const names = (await client.keys('*')).sort()
      const dumped = names.map(async (name) => [name, (await client.dumpBuffer(name))!.toString('hex')] as const)
      return Object.fromEntries(await Promise.all(dumped))
    } finally {
      client.disconnect()
    }
  }

  async function learn({ port }: Redis): Promise<void> {
    const url = `redis://:${password}@127.0.0.1:${port}`
    const store = createRedisState({ ...suiteSettings, url, encoding: 1, log })
    await store.start!(new AbortController().signal)
    const { epoch } = await store.partitions.take(3)
    const keys = new Map(Array.from({ length: 500 }, (_, i) => [`user-${i}`, Uint8Array.from([i % 256, 1, 2])]))
    await store.partitions.flush(3, epoch, { keys, partition: Uint8Array.from([9]), features: new Map() })
    await store.features.extend(['x', 'y'])
    await store.stop!()
  }

  it('hold all that was learnt, for a server that is new', async () => {
    const redis = await start()
    await learn(redis)
    await backUp(redis)
    expect(backups()).to.have.length(1)
    const data = join(folder, 'data')
    mkdirSync(data)
    await restore(data)
    const restored = await start('--dir', data, '--appendonly', 'yes')
    const content = await contentOf(redis)
    expect(Object.keys(content).length).to.be.greaterThan(500)
    expect(await contentOf(restored)).to.deep.equal(content)
  })

  it('never replace what a server has of its own', async () => {
    const redis = await start()
    await learn(redis)
    await backUp(redis)
    const data = join(folder, 'data')
    mkdirSync(join(data, 'appendonlydir'), { recursive: true })
    await restore(data)
    expect(readdirSync(join(data, 'appendonlydir'))).to.deep.equal([])
  })

  it('are as many as are kept, the newest ones, and whole', async () => {
    const redis = await start()
    await learn(redis)
    mkdirSync(join(folder, 'shop_payments'))
    for (const day of ['01', '02', '03']) writeFileSync(join(folder, `shop_payments/2020-01-${day}T03-00-00Z.rdb`), '')
    await backUp(redis, 2)
    const [older, newest] = backups().sort()
    expect(older).to.equal('2020-01-03T03-00-00Z.rdb')
    expect(backups()).to.have.length(2)
    await redis.kill()
    await backUp(redis, 2).then(
      () => expect.fail('a server that is away was backed up'),
      () => {},
    )
    expect(backups().filter((name) => name.endsWith('.rdb'))).to.have.members([older, newest])
  })

  it('that are missing or damaged are named, and nothing begins without them', async () => {
    const data = join(folder, 'data')
    mkdirSync(data)
    const refusal = async (from: string) =>
      restore(data, from).then(
        () => 'restored',
        ({ stdout }: { stdout: string }) => stdout.trim().split('\n').at(-1),
      )
    expect(await refusal('nothing')).to.equal('restoreFrom: the claim has no backup nothing')
    writeFileSync(join(folder, 'some.rdb'), 'REDIS0011 and so on')
    expect(await refusal('some.rdb')).to.equal('restoreFrom: the backup some.rdb is damaged')
    expect(readdirSync(data)).to.deep.equal([])
  })
})
