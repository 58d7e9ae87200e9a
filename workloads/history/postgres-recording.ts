import type { KafkaAdmin } from '../../lib/kafka/admin.ts'
import { KafkaError } from '../../lib/kafka/errors.ts'
import type { KafkaBatch, KafkaRecord, OutgoingRecord, StreamRecord, TopicPartition } from '../../lib/kafka/records.ts'
import type { CommittedOffset, OpenProducer, TransactionalProducer } from '../../lib/kafka/transactional-producer.ts'
import { traced } from '../../lib/telemetry.ts'
import { tracesOf } from '../streams/lane.ts'
import type { PartitionHandler } from '../streams/partition-handler.ts'
import { transactionalId } from '../streams/transactional-id.ts'
import { type OpenTransaction, type PostgresConnection, writing } from './postgres-connection.ts'
import { quoted } from './postgres-schema.ts'

/** Why a record has no row: another pipeline's, no verdict or episode, older than what is kept, or refused by the database. */
export const omissions = ['OtherPipeline', 'Unreadable', 'Expired', 'Unrecordable'] as const
export type Omission = (typeof omissions)[number]

/** What a batch came to. */
export interface Recorded {
  readonly rows: number
  readonly omitted: Readonly<Partial<Record<Omission, number>>>
}

export interface RecordingOptions {
  readonly connection: PostgresConnection
  readonly schema: string
  readonly topic: string
  readonly groupId: string
  /** Makes what tables there must be; cheap where they are known to be there. */
  readonly prepare: () => Promise<void>
  /** Writes the rows of a batch into the transaction, which is begun when it is asked for. */
  readonly write: (batch: KafkaBatch, begin: () => Promise<OpenTransaction>) => Promise<Recorded>
  readonly onRecorded: (recorded: Recorded) => void
}

/** A partition of this process. */
interface Owned {
  /** Grows with every owner: what a former one is about to write is refused. */
  readonly owner: string
  /** What the database has as the next offset. */
  next: string | null
  open: OpenTransaction | undefined
  staged: Recorded[]
  /** When the first record that is not recorded, or else the last that is, was published. */
  reached: number | undefined
}

/**
 * The database in the place of Kafka's transactions: rows and the offset behind them are written in one transaction, so
 * that each record is recorded once, whoever is killed, and wherever. A database that is set back is filled again from there.
 */
export class PostgresRecording implements PartitionHandler {
  readonly #options: RecordingOptions
  readonly #positions: string
  readonly #owned = new Map<number, Owned>()

  constructor(options: RecordingOptions) {
    this.#options = options
    this.#positions = `${quoted(options.schema)}.positions`
  }

  /** Stands in for the producers of a stream: nothing is published. */
  readonly openProducer: OpenProducer = async (id): Promise<TransactionalProducer> => {
    const { groupId, topic } = this.#options
    const isStart = id === transactionalId(groupId, topic, 'start')
    if (isStart) await this.#options.prepare()
    return {
      isSpent: false,
      discard() {},
      begin: async () => {
        let offsets: readonly CommittedOffset[] = []
        return {
          async send() {},
          async sendOffsets(_, given) {
            offsets = given
          },
          commit: () => (isStart ? this.#begin(offsets) : this.#commit(offsets[0]!)),
        }
      },
    }
  }

  readonly committedOffsets: KafkaAdmin['committedOffsets'] = async (_, topic) => {
    const rows = await this.#options.connection.transaction(
      'Take',
      writing,
      (transaction) =>
        transaction.query<{ partition: number; next_offset: string; topic_id: string }>(
          'read the positions',
          `SELECT partition, next_offset, topic_id FROM ${this.#positions} WHERE topic = $1 AND next_offset IS NOT NULL`,
          [topic],
        ),
      'READ ONLY',
    )
    return new Map(rows.map((row) => [row.partition, { offset: Number(row.next_offset), metadata: row.topic_id }]))
  }

  async assigned({ topic, partition }: TopicPartition): Promise<void> {
    await this.#options.prepare()
    const [row] = await this.#options.connection.transaction('Take', writing, (transaction) =>
      transaction.query<{ owner: string; next_offset: string | null }>(
        'take a partition',
        `INSERT INTO ${this.#positions} (topic, partition, topic_id, owner) VALUES ($1, $2, '', 1)
         ON CONFLICT (topic, partition) DO UPDATE SET owner = positions.owner + 1 RETURNING owner, next_offset`,
        [topic, partition],
      ),
    )
    this.#owned.get(partition)?.open?.abandon()
    const { owner, next_offset: next } = row!
    this.#owned.set(partition, { owner, next, open: undefined, staged: [], reached: undefined })
  }

  async batch(batch: KafkaBatch): Promise<readonly OutgoingRecord[]> {
    await this.#options.prepare()
    const owned = this.#owned.get(batch.partition)!
    const first = batch.records[0]
    if (owned.staged.length === 0 && first !== undefined) owned.reached = first.timestamp
    const begin = async () => {
      owned.open ??= await this.#options.connection.begin('Write', writing)
      return owned.open
    }
    const [parent, ...links] = tracesOf(batch.records)
    const write = () => this.#options.write(batch, begin)
    owned.staged.push(await traced('record', { kind: 'consumer', parent, links }, write))
    return []
  }

  committed({ partition }: TopicPartition): void {
    for (const recorded of this.#owned.get(partition)?.staged.splice(0) ?? []) this.#options.onRecorded(recorded)
  }

  dropped({ partition }: TopicPartition): void {
    const owned = this.#owned.get(partition)
    if (owned === undefined) return
    owned.open?.abandon()
    owned.open = undefined
    owned.staged = []
  }

  async releasing(): Promise<void> {}

  revoked({ partition }: TopicPartition): void {
    this.#owned.get(partition)?.open?.abandon()
    this.#owned.delete(partition)
  }

  tooLarge(record: OutgoingRecord): OutgoingRecord {
    return record
  }

  /** Nothing is published in its place: Kafka has it. */
  unprocessable(record: StreamRecord): OutgoingRecord {
    return { topic: this.#options.topic, key: null, value: null, headers: { offset: String(record.offset) } }
  }

  setAside(_record: KafkaRecord): void {
    this.#options.onRecorded({ rows: 0, omitted: { Unrecordable: 1 } })
  }

  /** Milliseconds by which a partition is behind that has records waiting. */
  behind(partition: number, now: number): number {
    const reached = this.#owned.get(partition)?.reached
    return reached === undefined ? 0 : Math.max(0, now - reached)
  }

  /** The start of all partitions, unless somebody was there before. */
  async #begin(offsets: readonly CommittedOffset[]): Promise<void> {
    await this.#options.connection.transaction('Take', writing, async (transaction) => {
      for (const { topic, partition, offset, metadata } of offsets)
        await transaction.query(
          'record the start',
          `INSERT INTO ${this.#positions} AS at (topic, partition, next_offset, topic_id, owner) VALUES ($1, $2, $3, $4, 0)
           ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset, topic_id = excluded.topic_id
           WHERE at.next_offset IS NULL`,
          [topic, partition, offset, metadata ?? ''],
        )
    })
  }

  async #commit({ topic, partition, offset, metadata }: CommittedOffset): Promise<void> {
    const owned = this.#owned.get(partition)!
    const transaction = owned.open ?? (await this.#options.connection.begin('Write', writing))
    owned.open = undefined
    const moved = await transaction.query(
      'record the position',
      `UPDATE ${this.#positions} SET next_offset = $1, topic_id = $2
       WHERE topic = $3 AND partition = $4 AND owner = $5 AND next_offset IS NOT DISTINCT FROM $6 RETURNING 1`,
      [offset, metadata ?? '', topic, partition, owned.owner, owned.next],
    )
    if (moved.length === 0) {
      transaction.abandon()
      throw new KafkaError('Fenced', `the position of ${topic}-${partition} was moved by somebody else`)
    }
    await transaction.commit()
    owned.next = String(offset)
  }
}
