import type { Registry } from 'prom-client'
import { messageOf } from '../../lib/errors.ts'
import { openAdmin } from '../../lib/kafka/admin.ts'
import type { KafkaSettings } from '../../lib/kafka/client.ts'
import { joinGroup } from '../../lib/kafka/group.ts'
import type { Logger } from '../../lib/log.ts'
import { resolveGroup } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { turns } from '../../lib/probes.ts'
import { systemClock } from '../../lib/time.ts'
import type { HistorySettings } from '../history/open-history.ts'
import { PostgresConnection, type Purpose } from '../history/postgres-connection.ts'
import { PostgresDays } from '../history/postgres-days.ts'
import { PostgresRecording, type RecordingOptions } from '../history/postgres-recording.ts'
import { migrate } from '../history/postgres-schema.ts'
import { episodeWriter, type PublishedOptions, verdictWriter } from '../history/published-records.ts'
import { ExactlyOnceLoop } from '../streams/exactly-once.ts'
import { isOfPipeline } from '../wire/pipeline-header.ts'
import type { Duty } from './duty.ts'
import { createRecordMetrics, type Recordable, type RecordLag } from './record-metrics.ts'

export interface HistoryDutyOptions {
  readonly pipeline: Pipeline
  readonly kafka: KafkaSettings
  readonly history: HistorySettings
  readonly registry: Registry
  readonly log: Logger
}

/** Sessions that write. Who writes may wait for the partition of a day, which the one for upkeep makes. */
const writers = 2
const maintainMs = 3_600_000
/** Rows of so long share a transaction; somebody looks at a history seconds later. */
const spacingMs = 250
/** As much as a reply brings: many rows a transaction where there is much to catch up with. */
const fetchBytes = 4 * 2 ** 20

interface Topic {
  readonly what: Recordable
  readonly loop: ExactlyOnceLoop
  readonly lag: () => RecordLag
}

/** Keeps what the pipeline publishes in PostgreSQL. */
export function historyDuty({ pipeline, kafka, history, registry, log }: HistoryDutyOptions): Duty {
  const { results } = pipeline.spec
  const { namespace, name } = pipeline.metadata
  const { address, schema, retentionDays, keep } = history
  const connect = (connections: number): PostgresConnection =>
    new PostgresConnection({ address, name: `anomaly recorder ${namespace}/${name}`, connections, log, onFailure })
  const onFailure = (purpose: Purpose): void => {
    metrics.failed()
    if (purpose !== 'Upkeep') forget()
  }
  const [connection, upkeep] = [connect(writers), connect(1)]
  const problem = () => connection.problem ?? upkeep.problem
  const days = new PostgresDays(upkeep, { schema, retentionDays, log })
  const metrics = createRecordMetrics(registry, () => Object.fromEntries(topics.map(({ what, lag }) => [what, lag()])))
  let prepared: Promise<void> | undefined
  let isPreparing = false

  /** Done once, and again after a failure: the database may be another one by then. */
  function prepare(): Promise<void> {
    if (prepared !== undefined) return prepared
    isPreparing = true
    prepared = migrate(upkeep, schema)
      // Old days may go later: recording does not wait for a report that reads them.
      .then(() => void lookAfter())
      .catch((error) => {
        forget()
        throw error
      })
      .finally(() => {
        isPreparing = false
      })
    return prepared
  }

  async function lookAfter(): Promise<void> {
    try {
      await days.maintain(Date.now())
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'the days of the history cannot be looked after; in an hour again')
    }
  }

  function forget(): void {
    prepared = undefined
    days.forget()
  }

  function recordingOf(what: Recordable, topic: string, write: RecordingOptions['write']): Topic {
    const group = resolveGroup(pipeline).groupId
    const groupId = what === 'verdict' ? `${group}_history` : `${group}_history_episodes`
    const recording = new PostgresRecording({
      ...{ connection, schema, topic, groupId, prepare, write },
      onRecorded: (recorded) => metrics.recorded(what, recorded),
    })
    const admin = openAdmin(kafka)
    const loop = new ExactlyOnceLoop(
      {
        openProducer: recording.openProducer,
        admin: { ...admin, committedOffsets: recording.committedOffsets },
        joinGroup: (member, events) => joinGroup(kafka, member, events),
        clock: systemClock,
        log,
      },
      {
        ...{ topic, groupId, startFrom: 'Earliest', handler: recording, offsetsGoBack: true, spacingMs },
        maxBytesPerPartition: fetchBytes,
        onOffsetLost: (of, lost) => log.error({ ...of, ...lost }, 'records were deleted before they were recorded'),
      },
    )
    const lag = (): RecordLag => {
      const behind = [...loop.lag()].filter(([, records]) => records > 0)
      const now = Date.now()
      // A partition that was never taken does not tell what waits in it.
      const since = behind.length === 0 ? problem()?.since : undefined
      const ms = behind.map(([partition]) => recording.behind(partition, now))
      return {
        records: behind.reduce((sum, [, records]) => sum + records, 0),
        seconds: Math.max(0, now - (since ?? now), ...ms) / 1000,
      }
    }
    return { what, loop, lag }
  }

  const isOwn: PublishedOptions['isOwn'] = ({ headers }) => isOfPipeline(headers, name)
  const options = { isOwn, schema, days, keep, wall: Date.now }
  const topics: readonly Topic[] = [
    recordingOf('verdict', results.topic, verdictWriter(options)),
    ...(results.episodesTopic === undefined
      ? []
      : [recordingOf('episode', results.episodesTopic, episodeWriter(options))]),
  ]
  const why = (): string | undefined => {
    const known = problem()
    if (known !== undefined) return `${known.message} (since ${new Date(known.since).toISOString()})`
    for (const { loop } of topics) {
      const found = loop.problem()
      if (found !== undefined) return found.message
    }
    return undefined
  }
  const isTurning = turns(() => Math.min(...topics.map(({ loop }) => loop.polledAt())))
  let timer: NodeJS.Timeout | undefined
  return {
    name: 'history',
    parts: [
      { name: 'history database', stop: () => Promise.all([connection.close(), upkeep.close()]).then(() => {}) },
      {
        name: 'history',
        start() {
          timer = setInterval(lookAfter, maintainMs)
          for (const { loop } of topics) loop.start()
        },
        async stop() {
          clearInterval(timer)
          await Promise.all(topics.map(({ loop }) => loop.stop()))
        },
      },
    ],
    // What a migration takes is no reason to start it again.
    live: () => (isPreparing ? undefined : isTurning()),
    ready: why,
    status: () => ({
      problem: why() ?? 'ok',
      recorded: { ...metrics.rows },
      lag: Object.fromEntries(topics.map(({ what, lag }) => [what, lag()])),
    }),
  }
}
