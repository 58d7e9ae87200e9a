import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { answers, jars, type KafkaServers, kafkaTools } from '../../tools/servers/kafka/kafka.ts'
import { type KafkaProxy, startProxy } from '../../tools/servers/proxy.ts'
import {
  freePorts,
  removeFolder,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../../tools/servers/server.ts'

/**
 * Three brokers that are controllers as well: each topic on all of them, and a write acknowledged by two at least.
 * `proxied`: with a proxy before each.
 */
export async function startThreeBrokers({ proxied = false } = {}): Promise<KafkaServers> {
  const folder = temporaryFolder('brokers')
  const classPath = join(await jars(), '*')
  const ports = await freePorts(9)
  const portOf = (number: number): number => ports[number]!
  const controllerOf = (number: number): number => ports[3 + number]!
  const proxiedOf = (number: number): number => ports[6 + number]!
  const numbers = [0, 1, 2]
  const proxies = proxied ? await Promise.all(numbers.map((number) => startProxy(proxiedOf(number)))) : []
  const clusterId = randomBytes(16).toString('base64url').replace(/^-/, 'A')
  const configurationOf = (number: number): string => join(folder, `${number}.properties`)
  for (const number of numbers) {
    const proxy = proxies[number]
    const listeners = [`PLAINTEXT://127.0.0.1:${portOf(number)}`]
    if (proxy !== undefined) listeners.push(`PROXIED://127.0.0.1:${proxiedOf(number)}`)
    const advertised = [`PLAINTEXT://127.0.0.1:${portOf(number)}`]
    if (proxy !== undefined) advertised.push(`PROXIED://127.0.0.1:${proxy.port}`)
    const properties = {
      'process.roles': 'broker,controller',
      'node.id': number + 1,
      'controller.quorum.voters': numbers.map((one) => `${one + 1}@127.0.0.1:${controllerOf(one)}`).join(),
      listeners: [...listeners, `CONTROLLER://127.0.0.1:${controllerOf(number)}`].join(),
      'advertised.listeners': advertised.join(),
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT',
      'controller.listener.names': 'CONTROLLER',
      'inter.broker.listener.name': 'PLAINTEXT',
      'log.dirs': join(folder, `data-${number}`),
      'auto.create.topics.enable': 'false',
      'default.replication.factor': 3,
      'min.insync.replicas': 2,
      'unclean.leader.election.enable': 'false',
      'offsets.topic.replication.factor': 3,
      'offsets.topic.num.partitions': 4,
      'transaction.state.log.replication.factor': 3,
      'transaction.state.log.min.isr': 2,
      'transaction.state.log.num.partitions': 4,
      'group.initial.rebalance.delay.ms': 0,
      'broker.session.timeout.ms': 4000,
    }
    writeFileSync(
      configurationOf(number),
      Object.entries(properties)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    )
    const format = ['format', '-t', clusterId, '-c', configurationOf(number)]
    await promisify(execFile)('java', ['-cp', classPath, 'kafka.tools.StorageTool', ...format])
  }
  const servers = new Map<number, ServerProcess>()
  const start = async (number: number): Promise<void> => {
    const server = await startServer('java', ['-Xmx256m', '-cp', classPath, 'kafka.Kafka', configurationOf(number)], {
      log: join(folder, `broker-${number}.log`),
      ready: () => answers(portOf(number)),
      timeoutMs: 180_000,
    })
    servers.set(number, server)
  }
  await Promise.all(numbers.map(start))
  return {
    ...kafkaTools(classPath),
    brokers: numbers.map((number) => `127.0.0.1:${portOf(number)}`),
    nodes: numbers.map((number) => ({
      kill: async () => servers.get(number)!.kill(),
      start: () => start(number),
      pause: () => servers.get(number)!.pause(),
      resume: () => servers.get(number)!.resume(),
    })),
    ...(proxied ? { proxy: allOf(proxies) } : {}),
    stop: async () => {
      await Promise.all(Array.from(servers.values(), (server) => server.kill()))
      await Promise.all(proxies.map((proxy) => proxy.close()))
      removeFolder(folder)
    },
  }
}

/** What is done is done to each of them. */
function allOf(proxies: readonly KafkaProxy[]): NonNullable<KafkaServers['proxy']> {
  const each = (act: (proxy: KafkaProxy) => void) => () => proxies.forEach(act)
  return {
    brokers: proxies.map(({ port }) => `127.0.0.1:${port}`),
    cutReply: (apiKey, nth) => Promise.race(proxies.map((proxy) => proxy.cutReply(apiKey, nth))),
    drop: each((proxy) => proxy.drop()),
    accept: each((proxy) => proxy.accept()),
    stall: each((proxy) => proxy.stall()),
    flow: each((proxy) => proxy.flow()),
  }
}
