import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { simulatePayments } from '../../workloads/simulation/simulate-payments.ts'
import { startKafka } from '../servers/kafka/kafka.ts'
import { startRedis } from '../servers/redis.ts'
import { freePorts, isFree, type ServerProcess, startServer } from '../servers/server.ts'
import { inRunFolder, root, type Stack, stackFile } from './run-folder.ts'

/** The background process of `make up`: Kafka, Redis and every role are its children, and end with it. */

const sampleEvents = 20_000

async function startRole(role: string, probes: number, args: readonly string[]): Promise<ServerProcess> {
  const server = await startServer(join(root, 'bin/anomaly'), [role, ...args, '--probes-port', String(probes)], {
    log: inRunFolder(`${role}.log`),
    ready: async () => (await fetch(`http://127.0.0.1:${probes}/readyz`)).ok,
  })
  writeFileSync(inRunFolder(`${role}.pid`), String(server.pid))
  return server
}

/** The sample pipeline with the address of this broker. */
function writePipeline(broker: string): string {
  const sample = readFileSync(join(root, 'manifests/pipelines/payments.yaml'), 'utf8')
  const file = inRunFolder('payments.yaml')
  writeFileSync(file, sample.replace(/brokers: .*/, `brokers: ["${broker}"]`))
  return file
}

function writeEvents(): void {
  const payments = simulatePayments({ seed: 1, startTime: Date.now() - 86_400_000 })
  const lines = Array.from({ length: sampleEvents }, () => JSON.stringify(payments.next().value!.event))
  writeFileSync(inRunFolder('payments.jsonl'), `${lines.join('\n')}\n`)
}

writeEvents()
const [kafka, redis] = await Promise.all([startKafka(), startRedis()])
const broker = kafka.brokers[0]!
const [grpc, inferenceProbes, consumerProbes, apiProbes, otherApiPort] = (await freePorts(5)) as [
  number,
  number,
  number,
  number,
  number,
]
const keyFile = inRunFolder('signing.key')
writeFileSync(keyFile, randomBytes(32), { mode: 0o600 })
const common = ['-f', writePipeline(broker), '--redis-url', redis.url]
const scoring = [...common, '--inference', `127.0.0.1:${grpc}`, '--signing-key-file', keyFile]
const roles: ServerProcess[] = []
roles.push(await startRole('inference', inferenceProbes, [...common, '--port', String(grpc), '--drain-seconds', '0']))
roles.push(await startRole('consumer', consumerProbes, scoring))
const peers = ['--peer', `consumer=localhost:${consumerProbes}`, '--peer', `inference=localhost:${inferenceProbes}`]
const apiPort = (await isFree(8080)) ? 8080 : otherApiPort
roles.push(await startRole('api', apiProbes, [...scoring, '--port', String(apiPort), ...peers]))

let stopping = false
async function stop(): Promise<void> {
  if (stopping) return
  stopping = true
  for (const role of roles.toReversed()) await role.stop()
  await kafka.stop()
  await redis.stop()
  process.exit()
}
process.removeAllListeners('SIGTERM')
process.on('SIGTERM', stop)

const stack: Stack = { broker, redisUrl: redis.url, apiPort, consumerProbes, inferenceProbes }
writeFileSync(`${stackFile}.new`, JSON.stringify(stack))
renameSync(`${stackFile}.new`, stackFile)
setInterval(() => {}, 2 ** 30)
