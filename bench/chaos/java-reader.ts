import { randomUUID } from 'node:crypto'
import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { connectProducer } from '../../lib/kafka/producer.ts'
import type { KafkaServers } from '../../tools/servers/kafka/kafka.ts'
import { noLog } from './no-log.ts'

/** What is kept of a record: of an hour there are millions. */
export interface ReadRecord {
  readonly partition: number
  readonly offset: number
  readonly key: string
  /** Of the event that it is, or speaks of; the value itself where that has none. */
  readonly id: string
  /** Where it is asked for. */
  readonly value?: string
}

/** What is read ends with such a record in each partition. */
const endPrefix = 'end-of-'
/** Without another record for so long, it fails. */
const quietMs = 180_000
const separator = '\u0001'

/**
 * The committed records of a topic in the order of each partition, as Kafka's own Java client reads them. It writes a
 * last one into each partition: what follows is not read, and what is said of them is left out.
 * @param keepsValue of which ids the value is kept
 */
export async function readWithJava(
  kafka: KafkaServers,
  topic: string,
  keepsValue: (id: string) => boolean,
): Promise<ReadRecord[]> {
  const open = new Set(await writeEnds(kafka, topic))
  const properties = ['print.partition', 'print.offset', 'print.key', 'print.value']
  const args = [
    ...['--bootstrap-server', kafka.brokers.join(), '--topic', topic, '--from-beginning'],
    ...['--isolation-level', 'read_committed', '--timeout-ms', String(quietMs)],
    ...properties.flatMap((name) => ['--formatter-property', `${name}=true`]),
    ...['--formatter-property', `key.separator=${separator}`],
  ]
  const records: ReadRecord[] = []
  for await (const line of kafka.toolLines('org.apache.kafka.tools.consumer.ConsoleConsumer', args)) {
    if (!line.startsWith('Partition:')) continue
    const record = recordOf(line, keepsValue)
    if (!record.id.startsWith(endPrefix)) records.push(record)
    else if (open.delete(record.id) && open.size === 0) return records
  }
  throw new Error(`Cannot read ${topic}: nothing came for ${quietMs} ms, and ${[...open]} did not`)
}

/** Answers with their ids. */
async function writeEnds(kafka: KafkaServers, topic: string): Promise<readonly string[]> {
  const settings: KafkaSettings = { brokers: kafka.brokers, clientId: 'chaos', log: noLog }
  const [admin, producer] = [openAdmin(settings), await connectProducer(settings)]
  const ends = Array.from((await admin.topicOffsets(topic)).keys(), (partition) => {
    const eventId = `${endPrefix}${topic}-${partition}-${randomUUID()}`
    return { eventId, record: { topic, partition, key: 'end', value: JSON.stringify({ eventId, userId: 'end' }) } }
  })
  await producer.send(
    ends.map(({ record }) => record),
    { timeoutMs: 60_000 },
  )
  await producer.close()
  admin.close()
  return ends.map(({ eventId }) => eventId)
}

/** Columns: partition, offset, key, value. */
export function recordOf(line: string, keepsValue: (id: string) => boolean): ReadRecord {
  const [partition, offset, key, ...rest] = line.split(separator) as [string, string, string, ...string[]]
  const value = rest.join(separator)
  const id = idIn(value) ?? value
  return {
    partition: Number(partition.slice('Partition:'.length)),
    offset: Number(offset.slice('Offset:'.length)),
    key,
    id,
    ...(keepsValue(id) ? { value } : {}),
  }
}

function idIn(json: string): string | undefined {
  try {
    const { eventId } = JSON.parse(json) as { readonly eventId?: unknown }
    return typeof eventId === 'string' ? eventId : undefined
  } catch {
    return undefined
  }
}
