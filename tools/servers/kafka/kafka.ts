import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { type ClientTls, makeCertificates } from '../certificates.ts'
import { type KafkaProxy, startProxy } from '../proxy.ts'
import {
  ask,
  freePorts,
  removeFolder,
  requireCommands,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../server.ts'
import type { SetUpStep } from '../set-up.ts'

const run = promisify(execFile)
const version = '4.3.1'

/** The one user of a secured broker, for PLAIN and SCRAM. */
export const kafkaUser = { username: 'anomaly', password: 'a password of tests' } as const

/** A broker process. */
export interface KafkaNode {
  /** As `kill -9`; `start` brings it back with its data. */
  kill(): Promise<void>
  start(): Promise<void>
  pause(): void
  resume(): void
}

/** One broker or several. */
export interface KafkaServers extends KafkaTools {
  readonly nodes: readonly KafkaNode[]
  readonly brokers: readonly string[]
  /** With `proxied`: the same brokers for clients that should lose replies. */
  readonly proxy?: Pick<KafkaProxy, 'cutReply' | 'drop' | 'accept' | 'stall' | 'flow'> & {
    readonly brokers: readonly string[]
  }
  /** Ends the brokers and drops their data. */
  stop(): Promise<void>
}

export interface KafkaTools {
  /** Runs one of Kafka's own tools, e.g. `org.apache.kafka.tools.TopicCommand`, and gives its output. */
  tool(className: string, args: readonly string[], options?: { readonly input?: string }): Promise<string>
  /** The output of a tool as it comes; who has enough of it ends the tool. */
  toolLines(className: string, args: readonly string[]): AsyncIterable<string>
}

export interface Kafka extends KafkaServers, KafkaNode {
  readonly port: number
  readonly proxy?: KafkaProxy & { readonly brokers: readonly string[] }
  /** With `secured`: further listeners of the same broker. */
  readonly secured?: {
    readonly saslPlaintext: readonly string[]
    readonly saslTls: readonly string[]
    /** Asks clients for a certificate. */
    readonly mutualTls: readonly string[]
    readonly tls: ClientTls
  }
  /** The folder of its logs. */
  readonly data: string
  /** Stops it, waits `downMs`, starts it on the same ports with the same data. */
  restart(options?: { readonly downMs?: number }): Promise<void>
}

export interface KafkaOptions {
  readonly proxied?: boolean
  readonly secured?: boolean
  /** The node of a cluster: the broker listens there, for pods and for this machine, and not on loopback. */
  readonly node?: { readonly networkNamespace: string; readonly nodeIp: string } | undefined
  /** More lines of server.properties. */
  readonly properties?: Readonly<Record<string, string | number>>
  readonly signal?: AbortSignal | undefined
}

/** The folder with the broker's jars: fetched once a user, whole or not at all. */
export async function jars(): Promise<string> {
  const folder = jarFolder()
  if (existsSync(folder)) return folder
  await requireCommands({ mvn: 'maven' })
  const partial = `${folder}.${process.pid}`
  mkdirSync(partial, { recursive: true })
  const pom = join(import.meta.dirname, 'pom.xml')
  try {
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${partial}`])
    renameSync(partial, folder)
  } catch (error) {
    rmSync(partial, { recursive: true, force: true })
    if (existsSync(folder)) return folder
    throw new Error(`Cannot fetch Kafka ${version}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    })
  }
  return folder
}

/** The step that fetches the broker. */
export const jarsStep: SetUpStep = {
  name: `Kafka ${version}`,
  isDone: async () => existsSync(jarFolder()),
  make: jars,
}

function jarFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'anomaly', `kafka-${version}`)
}

/** A Metadata request (v1, every topic): answered with a broker only when that broker takes clients. */
export async function answers(port: number, host = '127.0.0.1'): Promise<boolean> {
  const request = Buffer.from('00000010' + '0003' + '0001' + '00000001' + '0002' + '6974' + 'ffffffff', 'hex')
  const whole = (bytes: Buffer) => bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE(0)
  const answer = await ask(port, request, whole, { host })
  return answer.readInt32BE(8) > 0
}

/** A real broker (KRaft, one node) on free ports of the loopback interface, ready for clients. */
export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  await requireCommands({ java: 'openjdk-17-jre-headless', ...(options.secured ? { openssl: 'openssl' } : {}) })
  const classPath = join(await jars(), '*')
  const folder = temporaryFolder('kafka')
  const data = join(folder, 'data')
  const { node } = options
  const [freePort, freeController, proxied, saslPlaintext, saslTls, mutualTls] = (await freePorts(6)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const [host, port, controller] = node ? [node.nodeIp, 9092, 9093] : ['127.0.0.1', freePort, freeController]
  const proxy = options.proxied ? await startProxy(proxied) : undefined
  const certificates = options.secured ? makeCertificates(folder) : undefined

  const listeners = [
    { name: 'PLAINTEXT', protocol: 'PLAINTEXT', port, advertised: port },
    ...(proxy ? [{ name: 'PROXIED', protocol: 'PLAINTEXT', port: proxied, advertised: proxy.port }] : []),
    ...(certificates
      ? [
          { name: 'SASLPLAIN', protocol: 'SASL_PLAINTEXT', port: saslPlaintext, advertised: saslPlaintext },
          { name: 'SASLTLS', protocol: 'SASL_SSL', port: saslTls, advertised: saslTls },
          { name: 'MUTUAL', protocol: 'SSL', port: mutualTls, advertised: mutualTls },
        ]
      : []),
  ]
  const login = `org.apache.kafka.common.security.plain.PlainLoginModule required user_${kafkaUser.username}="${kafkaUser.password}";`
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
  const keystore = join(folder, 'server.pem')
  if (certificates) {
    const { serverKeyFile, serverCertFile } = certificates
    writeFileSync(keystore, readFileSync(serverKeyFile, 'utf8') + readFileSync(serverCertFile, 'utf8'))
  }
  const properties: Record<string, string | number> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.bootstrap.servers': `${host}:${controller}`,
    listeners: [...listeners.map((l) => `${l.name}://${host}:${l.port}`), `CONTROLLER://${host}:${controller}`].join(
      ',',
    ),
    'advertised.listeners': listeners.map((l) => `${l.name}://${host}:${l.advertised}`).join(','),
    'listener.security.protocol.map': [...listeners.map((l) => `${l.name}:${l.protocol}`), 'CONTROLLER:PLAINTEXT'].join(
      ',',
    ),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': data,
    'num.partitions': 4,
    'auto.create.topics.enable': 'false',
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 8,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 8,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    ...(certificates
      ? {
          'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
          ...Object.fromEntries(
            ['saslplain', 'sasltls'].flatMap((name) => [
              [`listener.name.${name}.plain.sasl.jaas.config`, login],
              [`listener.name.${name}.scram-sha-256.sasl.jaas.config`, scram],
              [`listener.name.${name}.scram-sha-512.sasl.jaas.config`, scram],
            ]),
          ),
          'ssl.keystore.type': 'PEM',
          'ssl.keystore.location': keystore,
          'ssl.truststore.type': 'PEM',
          'ssl.truststore.location': certificates.caFile,
          'listener.name.mutual.ssl.client.auth': 'required',
        }
      : {}),
    ...options.properties,
  }
  const configuration = join(folder, 'server.properties')
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(configuration, lines.join(''))
  const users = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
    '--add-scram',
    `${mechanism}=[name=${kafkaUser.username},password=${kafkaUser.password}]`,
  ])
  const clusterId = randomBytes(16).toString('base64url').replace(/^-/, 'A')
  const format = ['format', '--standalone', '-t', clusterId, '-c', configuration, ...(certificates ? users : [])]
  await run('java', ['-cp', classPath, 'kafka.tools.StorageTool', ...format])

  const broker = ['java', '-Xmx512m', '-cp', classPath, 'kafka.Kafka', configuration]
  const [command, ...args] = node ? ['nsenter', `--net=${node.networkNamespace}`, ...broker] : broker
  const start = (): Promise<ServerProcess> =>
    startServer(command!, args, {
      log: join(folder, 'broker.log'),
      ready: () => answers(port, host),
      signal: options.signal,
    })
  let server = await start()
  const at = (p: number): readonly string[] => [`${host}:${p}`]
  const own: KafkaNode = {
    kill: () => server.kill(),
    start: async () => {
      server = await start()
    },
    pause: () => server.pause(),
    resume: () => server.resume(),
  }
  return {
    ...kafkaTools(classPath),
    ...own,
    port,
    data,
    nodes: [own],
    brokers: at(port),
    ...(proxy ? { proxy: { ...proxy, brokers: at(proxy.port) } } : {}),
    ...(certificates
      ? {
          secured: {
            saslPlaintext: at(saslPlaintext),
            saslTls: at(saslTls),
            mutualTls: at(mutualTls),
            tls: certificates.client,
          },
        }
      : {}),
    stop: async () => {
      await server.kill()
      await proxy?.close()
      removeFolder(folder)
    },
    restart: async ({ downMs = 0 } = {}) => {
      // Killed, it may forget to mark transactions that it has acknowledged: see docs/operations.md.
      await server.stop(60_000)
      if (downMs > 0) await new Promise((done) => setTimeout(done, downMs))
      await own.start()
    },
  }
}

export function kafkaTools(classPath: string): KafkaTools {
  return {
    tool: async (className, args, { input } = {}) => {
      const call = run('java', ['-Xmx256m', '-cp', classPath, className, ...args], {
        maxBuffer: 1 << 29,
      })
      if (input !== undefined) call.child.stdin!.end(input)
      return (await call).stdout
    },
    async *toolLines(className, args) {
      const child = spawn('java', ['-Xmx256m', '-cp', classPath, className, ...args], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      try {
        yield* createInterface({ input: child.stdout })
      } finally {
        child.kill('SIGKILL')
      }
    },
  }
}
