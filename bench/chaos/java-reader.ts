import type { Kafka } from '../../tools/servers/kafka/kafka.ts'

export interface ReadRecord {
  readonly partition: number
  readonly offset: number
  readonly headers: ReadonlyMap<string, string>
  readonly key: string
  readonly value: string
}

/** How long the console consumer waits for another record before it ends. */
const quietMs = 10_000
const separator = '\u0001'

/** The committed records of a topic in the order of each partition, as Kafka's own Java client reads them. */
export async function readWithJava(kafka: Kafka, topic: string): Promise<ReadRecord[]> {
  const properties = ['print.partition', 'print.offset', 'print.headers', 'print.key', 'print.value']
  const output = await kafka.tool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
    ...['--bootstrap-server', kafka.brokers[0]!, '--topic', topic, '--from-beginning'],
    ...['--isolation-level', 'read_committed', '--timeout-ms', String(quietMs)],
    ...properties.flatMap((name) => ['--formatter-property', `${name}=true`]),
    ...['--formatter-property', `key.separator=${separator}`],
    ...['--formatter-property', `headers.separator=\u0002`],
  ])
  return output
    .split('\n')
    .filter((line) => line.startsWith('Partition:'))
    .map(recordOf)
}

/** Columns: partition, offset, headers, key, value. */
export function recordOf(line: string): ReadRecord {
  const [partition, offset, headers, key, ...value] = line.split(separator) as [string, string, string, string]
  return {
    partition: Number(partition.slice('Partition:'.length)),
    offset: Number(offset.slice('Offset:'.length)),
    headers: new Map(
      headers.split('\u0002').map((one) => [one.slice(0, one.indexOf(':')), one.slice(one.indexOf(':') + 1)]),
    ),
    key,
    value: value.join(separator),
  }
}
