import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { answers, jars } from '../../tools/servers/kafka/kafka.ts'
import {
  freePorts,
  removeFolder,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../../tools/servers/server.ts'

export interface ThreeBrokers {
  readonly brokers: readonly string[]
  /** As `kill -9`. */
  kill(number: number): Promise<void>
  /** Starts a broker that was killed, with its data. */
  start(number: number): Promise<void>
  stop(): Promise<void>
}

/** Three brokers that are controllers as well: each topic on all of them, and a write acknowledged by two at least. */
export async function startThreeBrokers(): Promise<ThreeBrokers> {
  const folder = temporaryFolder('brokers')
  const classPath = join(await jars(), '*')
  const ports = await freePorts(6)
  const portOf = (number: number): number => ports[number]!
  const controllerOf = (number: number): number => ports[3 + number]!
  const numbers = [0, 1, 2]
  const clusterId = randomBytes(16).toString('base64url').replace(/^-/, 'A')
  const configurationOf = (number: number): string => join(folder, `${number}.properties`)
  for (const number of numbers) {
    const properties = {
      'process.roles': 'broker,controller',
      'node.id': number + 1,
      'controller.quorum.voters': numbers.map((one) => `${one + 1}@127.0.0.1:${controllerOf(one)}`).join(),
      listeners: `PLAINTEXT://127.0.0.1:${portOf(number)},CONTROLLER://127.0.0.1:${controllerOf(number)}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${portOf(number)}`,
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
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
    brokers: numbers.map((number) => `127.0.0.1:${portOf(number)}`),
    kill: async (number) => servers.get(number)!.kill(),
    start,
    stop: async () => {
      await Promise.all(Array.from(servers.values(), (server) => server.kill()))
      removeFolder(folder)
    },
  }
}
