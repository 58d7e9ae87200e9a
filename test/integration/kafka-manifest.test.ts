import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { parseAllDocuments } from 'yaml'
import { openAdmin } from '../../lib/kafka/admin.ts'
import { connectProducer } from '../../lib/kafka/producer.ts'
import { readTopic } from '../../lib/kafka/read-topic.ts'
import { transactionalProducers } from '../../lib/kafka/transactional-producer.ts'
import { createLogger } from '../../lib/log.ts'
import { answers, jars } from '../../tools/servers/kafka/kafka.ts'
import {
  freePorts,
  removeFolder,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../../tools/servers/server.ts'
import { eventually } from '../harness/eventually.ts'

const manifest = join(import.meta.dirname, '../../manifests/kafka/kafka.yaml')
const skipped = process.env.SKIP_INTEGRATION === '1'

// The image starts Kafka through a class of Kafka's own, which turns the environment into settings and formats the disk.
;(skipped ? describe.skip : describe)('The broker of manifests/kafka', () => {
  const folder = temporaryFolder('kafka-manifest')
  let server: ServerProcess | undefined
  let properties = ''
  let port = 0

  before('start a broker with the environment of its container', async () => {
    const [clients, internal, controller] = (await freePorts(3)) as [number, number, number]
    port = clients
    const own = { 9092: clients, 9093: controller, 9094: internal }
    const [, , set] = parseAllDocuments(readFileSync(manifest, 'utf8')).map((document) => document.toJS())
    const [container] = set.spec.template.spec.containers
    const env = Object.fromEntries(
      container.env.map(({ name, value }: { name: string; value: string }) => [
        name,
        value
          .replace(/\b909[234]\b/g, (number) => String(own[number as unknown as keyof typeof own]))
          .replace('kafka.kafka.svc', '127.0.0.1')
          .replace('/var/lib/kafka', folder),
      ]),
    )
    const folders = { default: join(folder, 'default'), mounted: join(folder, 'mounted'), final: join(folder, 'final') }
    for (const path of Object.values(folders)) mkdirSync(path)
    for (const name of ['server.properties', 'log4j2.yaml', 'tools-log4j2.yaml'])
      writeFileSync(join(folders.default, name), '')
    const classPath = join(await jars(), '*')
    const flags = Object.entries(folders).flatMap(([name, path]) => [`--${name}-configs-dir`, path])
    await promisify(execFile)('java', ['-cp', classPath, 'kafka.docker.KafkaDockerWrapper', 'setup', ...flags], {
      env: { PATH: process.env.PATH, CLUSTER_ID: 'cluster-of-the-image-1', ...env },
    })
    const file = join(folders.final, 'server.properties')
    properties = readFileSync(file, 'utf8')
    const heap = env.KAFKA_HEAP_OPTS!.split(' ')
    server = await startServer('java', [...heap, '-cp', classPath, 'kafka.Kafka', file], {
      log: join(folder, 'broker.log'),
      ready: () => answers(port),
    })
  })
  after(async () => {
    await server?.kill()
    removeFolder(folder)
  })

  it('has the settings that its environment names, and no other', () => {
    const names = [...properties.matchAll(/^([\w.]+)=/gm)].map(([, name]) => name!)
    const [, , set] = parseAllDocuments(readFileSync(manifest, 'utf8')).map((document) => document.toJS())
    const variables = set.spec.template.spec.containers[0].env.map(({ name }: { name: string }) => name)
    expect(names.map((name) => `KAFKA_${name.toUpperCase().replaceAll('.', '_')}`)).to.have.members(
      variables.filter((name: string) => name !== 'KAFKA_HEAP_OPTS'),
    )
  })

  it('does for pipelines all that they need, alone: topics, groups, transactions', async () => {
    const settings = {
      brokers: [`127.0.0.1:${port}`],
      clientId: 'test',
      log: await createLogger({ level: 'silent' }),
    }
    const admin = openAdmin(settings)
    await admin.createMissingTopics([
      { topic: 'events', partitions: 3 },
      { topic: 'verdicts', partitions: 3 },
    ])
    admin.close()
    const producer = await connectProducer(settings)
    await producer.send([{ topic: 'events', key: 'a', value: 'one' }])
    await producer.close()
    // Redone, as a consumer does, while the coordinator of a broker that has just begun is not there yet.
    await eventually(async () => {
      const transactional = await transactionalProducers(settings)('group-events-0')
      try {
        const transaction = await transactional.begin()
        await transaction.send([{ topic: 'verdicts', key: 'a', value: 'verdict of one' }])
        await transaction.sendOffsets('group', [{ topic: 'events', partition: 0, offset: 1 }])
        await transaction.commit()
      } finally {
        transactional.discard()
      }
    })
    const verdicts: string[] = []
    await readTopic(settings, 'verdicts', ({ records }) => {
      verdicts.push(...records.map(({ value }) => String(value)))
    })
    expect(verdicts).to.deep.equal(['verdict of one'])
  })
})
