import { mkdirSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import * as kinds from '../../../operator/kinds.ts'
import { statusOf } from '../../../operator/runtime/kube-status.ts'
import {
  freePorts,
  removeFolder,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../../../tools/servers/server.ts'
import { createRedisState, type RedisState } from '../../../workloads/state/redis.ts'
import { suiteSettings } from '../../../workloads/state/state-suite.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, useOperator } from '../../harness/operator.ts'

const [first, second] = ['payments-redis-0', 'payments-redis-1'] as const
type Name = typeof first | typeof second
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const spec = (replicas: number) => ({ ...minimalSpec, state: { redis: { managed: { replicas } } } })

describe('Operator: two Redis pods', () => {
  const cluster = useApiServer()
  const bench = useOperator(cluster)
  let namespace: string
  let folder: string
  let ports: Readonly<Record<Name, number>>
  let servers: Map<Name, ServerProcess>
  let service: Server
  let store: RedisState | undefined
  const clients = new Set<Socket>()

  beforeEach(async () => {
    namespace = await bench.namespace()
    folder = temporaryFolder('redis-pair')
    const [a, b] = (await freePorts(2)) as [number, number]
    ports = { [first]: a, [second]: b }
    servers = new Map()
  })
  afterEach(async () => {
    await store?.stop?.()
    store = undefined
    for (const client of clients) client.destroy()
    await new Promise((done) => (service === undefined ? done(undefined) : service.close(done)))
    for (const server of servers.values()) await server.kill()
    removeFolder(folder)
  })

  const primaryService = async (): Promise<Name> => {
    const { spec: found } = await bench.get(kinds.services, namespace, 'payments-redis-primary')
    const { selector } = found as { selector: Record<string, string> }
    return selector['statefulset.kubernetes.io/pod-name'] as Name
  }
  const redis = async () => (await bench.status(namespace)).redis

  /** The server as the StatefulSet has it, and its pod. */
  async function start(name: Name): Promise<void> {
    const { spec: found } = await bench.get(kinds.statefulSets, namespace, 'payments-redis')
    const { template } = found as { template: { spec: { containers: [{ args: string[] }] }; metadata: object } }
    const { data } = await bench.get(kinds.secrets, namespace, 'payments-redis')
    const password = Buffer.from((data as Record<string, string>).password!, 'base64').toString()
    const own = join(folder, name)
    mkdirSync(own, { recursive: true })
    const replaced: Readonly<Record<string, string>> = { '--port': String(ports[name]), '--dir': own }
    const stated = template.spec.containers[0].args
    const args = stated.flatMap((word, i) => {
      const before = stated[i - 1] ?? ''
      return word === '--include' || before === '--include' ? [] : [replaced[before] ?? word]
    })
    servers.set(
      name,
      await startServer('redis-server', [...args, '--requirepass', password, '--bind', '127.0.0.1'], {
        log: join(folder, `${name}.log`),
        ready: async () =>
          await new Promise<boolean>((resolve) => {
            const socket = connect(ports[name], '127.0.0.1', () => resolve(true)).once('error', () => resolve(false))
            socket.once('connect', () => socket.destroy())
          }),
      }),
    )
    const metadata = { ...template.metadata, name, namespace }
    const podSpec = { serviceAccountName: 'payments', containers: [{ name: 'redis', image: 'redis' }] }
    await bench.client
      .create(kinds.pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec: podSpec })
      .catch((error: unknown) => expect(statusOf(error)?.code).to.equal(409))
    const status = { phase: 'Running', podIP: '127.0.0.1' }
    await bench.client.patch(kinds.pods, { name, namespace }, { status }, { subresource: 'status' })
  }

  /** What kube-proxy does: a connection goes to the pod that the Service selects when it begins. */
  async function openService(): Promise<number> {
    service = createServer((client) => {
      clients.add(client)
      client.on('error', () => {})
      primaryService().then((name) => {
        const server = connect(ports[name], '127.0.0.1')
        clients.add(server)
        server.on('error', () => client.destroy())
        server.on('close', () => client.destroy())
        client.on('close', () => server.destroy())
        client.pipe(server).pipe(client)
      }, client.destroy)
    })
    const [port] = (await freePorts(1)) as [number]
    await new Promise<void>((done) => service.listen(port, '127.0.0.1', done))
    return port
  }

  async function begin(): Promise<void> {
    await bench.start({
      sampling: {
        redis: { intervalMs: 200, addressOf: ({ metadata }) => `127.0.0.1:${ports[metadata.name as Name]}` },
      },
    })
    await bench.apply(namespace, spec(2))
    await eventually(() => bench.get(kinds.statefulSets, namespace, 'payments-redis'))
    await Promise.all([start(first), start(second)])
    await eventually(async () => expect(await redis()).to.deep.equal({ primary: first, inSync: true }))
    const { data } = await bench.get(kinds.secrets, namespace, 'payments-redis')
    const url = Buffer.from((data as Record<string, string>).url!, 'base64').toString()
    expect(url).to.contain(`@payments-redis-primary.${namespace}.svc:6379`)
    const at = url.replace(/@.*/, `@127.0.0.1:${await openService()}`)
    store = createRedisState({ ...suiteSettings, url: at, encoding: 1, log: silent, replicas: 2 })
    await store.start!(new AbortController().signal)
  }

  const place = { partition: 0, offset: 0 }
  const claimOf = (eventId: string) => store!.results.claim([{ eventId, fingerprint: 'f', place }], 600)

  /** Claims ids one after the other until it is stopped, whatever becomes of the server: those that were answered. */
  function claimAll(): { stop(): Promise<readonly string[]>; readonly count: () => number } {
    const claimed: string[] = []
    let isOver = false
    const work = (async () => {
      for (let i = 0; !isOver; i++) {
        const id = `event-${i}`
        await claimOf(id).then(
          () => claimed.push(id),
          () => new Promise((later) => setTimeout(later, 20)),
        )
      }
    })()
    return {
      count: () => claimed.length,
      stop: async () => {
        isOver = true
        await work
        return claimed
      },
    }
  }

  async function expectAllThere(ids: readonly string[]): Promise<void> {
    expect(ids.length).to.be.greaterThan(100)
    const lost: string[] = []
    for (const id of ids) if ((await claimOf(id))[0]!.type === 'Claimed') lost.push(id)
    expect(lost).to.deep.equal([])
  }

  async function untilMore(claims: { readonly count: () => number }): Promise<void> {
    const before = claims.count()
    await eventually(() => expect(claims.count()).to.be.greaterThan(before + 50))
  }

  it('lets the second lead when the first is killed, with every claim, and the first follow when it is back', async () => {
    await begin()
    const claims = claimAll()
    await untilMore(claims)
    await servers.get(first)!.kill()
    await eventually(async () => expect(await redis()).to.deep.equal({ primary: second, inSync: false }))
    await untilMore(claims)
    await start(first)
    await eventually(async () => expect(await redis()).to.deep.equal({ primary: second, inSync: true }))
    await untilMore(claims)
    await expectAllThere(await claims.stop())
    await eventually(async () =>
      expect(await bench.events(namespace)).to.include(
        `Warning RedisFailedOver redis: ${second} took over from ${first}`,
      ),
    )
  })

  it('never has two that take writes: a primary that was cut off for a while follows', async () => {
    await begin()
    const claims = claimAll()
    await untilMore(claims)
    servers.get(first)!.pause()
    await eventually(async () => expect((await redis())?.primary).to.equal(second))
    await untilMore(claims)
    servers.get(first)!.resume()
    await eventually(async () => expect(await redis()).to.deep.equal({ primary: second, inSync: true }))
    await expectAllThere(await claims.stop())
  })

  it('lets the second lead where the first started again at once, and alone where the first is gone', async () => {
    await begin()
    const claims = claimAll()
    await untilMore(claims)
    await servers.get(first)!.kill()
    await start(first)
    await untilMore(claims)
    await eventually(async () => expect(await redis()).to.deep.equal({ primary: second, inSync: true }))
    await servers.get(first)!.kill()
    await eventually(async () => expect(await redis()).to.deep.equal({ primary: second, inSync: false }))
    await untilMore(claims)
    await expectAllThere(await claims.stop())
  })

  it('hands over to the first before the second goes, where one is enough again', async () => {
    await begin()
    const claims = claimAll()
    await untilMore(claims)
    await servers.get(first)!.kill()
    await eventually(async () => expect((await redis())?.primary).to.equal(second))
    await start(first)
    await eventually(async () => expect(await redis()).to.deep.equal({ primary: second, inSync: true }))
    const replicas = async () =>
      ((await bench.get(kinds.statefulSets, namespace, 'payments-redis')).spec as { replicas: number }).replicas
    await bench.apply(namespace, spec(1))
    await eventually(async () => expect(await primaryService()).to.equal(first))
    await eventually(async () => expect(await replicas()).to.equal(1))
    await untilMore(claims)
    await expectAllThere(await claims.stop())
    await eventually(async () => expect(await redis()).to.equal(undefined))
  })
})
