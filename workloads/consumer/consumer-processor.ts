import type { KeyObject } from 'node:crypto'
import type { RecordBatch, StreamRecord } from '../../lib/kafka/records.ts'
import type { Logger } from '../../lib/log.ts'
import type { Metrics } from '../../lib/metrics.ts'
import { fixedPipeline, type LivePipeline } from '../../lib/pipeline/live-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { backoff, sleep } from '../../lib/time.ts'
import type { Event } from '../detection/event.ts'
import type { EventReference } from '../detection/verdict.ts'
import type { ChallengeCounts } from '../judging/challenge-counts.ts'
import type { FlowMeter } from '../judging/flow-meter.ts'
import { judgementMetrics } from '../judging/judgement-metrics.ts'
import type { KeptState } from '../judging/kept-state.ts'
import { isVerdict, type ProcessedBatch, Processor, type ProcessorOptions } from '../judging/processor.ts'
import type { PublishedPast } from '../judging/published-past.ts'
import type { SharedSchema } from '../judging/shared-schema.ts'
import type { Scorer } from '../scoring/scorer.ts'
import type { SaidStore } from '../state/said.ts'
import { degradeWithoutStore, type EventResult, type ResultStore } from '../state/state.ts'
import type { KafkaStream } from '../streams/kafka.ts'
import { feedbackIn, spokenOfSeconds } from '../wire/feedback-record.ts'
import { parseBody } from '../wire/json-body.ts'
import { RecordOrigin } from '../wire/record-origin.ts'
import type { SchemaRegistry } from '../wire/schema-registry.ts'
import { verdictOf, verifyVerdict } from '../wire/signed-verdict.ts'
import { verdictJson, withReference } from '../wire/verdict-bytes.ts'
import { fieldWarnings } from './field-warnings.ts'
import type { MisplacedKeys } from './misplaced-keys.ts'

export interface ConsumerProcessorOptions {
  readonly pipeline: Pipeline
  readonly live?: LivePipeline | undefined
  readonly schemaRegistry?: SchemaRegistry | undefined
  /** The key with which the API signs verdicts. Without it the consumer judges every event itself. */
  readonly signingKey?: KeyObject | undefined
  readonly log: Logger
}

export interface ConsumerProcessorParts {
  readonly scorer: Scorer
  readonly names: SharedSchema
  readonly kept: KeptState
  readonly results: Pick<ResultStore, 'put'>
  readonly said: Pick<SaidStore, 'put'>
  readonly stream: Pick<KafkaStream, 'waiting'>
  readonly metrics: Metrics
  readonly meter: FlowMeter
  readonly misplaced: MisplacedKeys
  readonly challenge: ChallengeCounts
  readonly clock: () => number
  /** Where episodes are published. */
  readonly past: PublishedPast | undefined
}

const longestPauseMs = 2000

/** The way from Kafka's records to verdicts in a consumer. */
export function createConsumerProcessor(
  { pipeline, live = fixedPipeline(pipeline), schemaRegistry, signingKey, log }: ConsumerProcessorOptions,
  {
    scorer,
    names,
    kept,
    results,
    said,
    stream,
    metrics,
    meter,
    misplaced,
    challenge,
    clock,
    past,
  }: ConsumerProcessorParts,
): Processor {
  const warnOfFields = fieldWarnings({ pipeline, log, parse: schemaRegistry?.parse ?? parseBody })
  const keepsAlerts = pipeline.spec.detection.feedback !== undefined
  // Where no history is kept, verdicts are as short as they can be.
  const referenceOf: ReferenceOf = (...of) => (live.keepsHistory ? referenceTo(...of) : undefined)
  const count = judgementMetrics({ metrics, clock, modelVersion: () => scorer.modelVersion })
  return new Processor({
    pipeline,
    live,
    schema: names.schema,
    scorer,
    partitions: kept,
    clock,
    past,
    extendSchema: names.extend,
    ...bodyReaderOf(schemaRegistry),
    originOf: (record, batch) => new RecordOrigin(record, batch),
    rejectionOf: ({ unreadable }) => {
      return unreadable === undefined ? undefined : { reason: 'Unreadable', message: unreadable }
    },
    ...(pipeline.spec.detection.feedback !== undefined && {
      feedbackOf: (record) => feedbackIn(record, pipeline.spec.event.secondaryKeys),
    }),
    givenVerdict: givenVerdictOf(signingKey, referenceOf),
    referenceOf,
    pause: async (attempt, signal) => {
      stream.waiting()
      await sleep(backoff(attempt + 1, { baseMs: 100, maxMs: longestPauseMs }), { signal })
    },
    asBytes: true,
    observer: (processed) => {
      warnOfFields(processed.batch.records)
      const [counted, measured, noticed] = [count(processed), meter.observe(processed), misplaced.observe(processed)]
      const challenged = challenge.observe(processed)
      const alerts = keepsAlerts ? alertsOf(processed) : []
      return () => {
        counted()
        measured()
        noticed()
        challenged()
        // What cannot be kept now can still be spoken of with its verdict.
        if (alerts.length > 0) results.put(alerts, spokenOfSeconds).catch(degradeWithoutStore)
        // What cannot be listed now is learnt all the same.
        if (processed.said !== undefined) said.put(processed.said).catch(degradeWithoutStore)
      }
    },
  })
}

/** Verdicts that came with their events are kept by who gave them. */
function alertsOf({ batch, outcomes }: ProcessedBatch): readonly EventResult[] {
  const alerts: EventResult[] = []
  for (const [i, outcome] of outcomes.entries()) {
    if (!isVerdict(outcome) || !outcome.isAnomaly || verdictOf(batch.records[i]!.headers ?? {}) !== undefined) continue
    alerts.push({ eventId: outcome.eventId, json: verdictJson(outcome) })
  }
  return alerts
}

function bodyReaderOf(schemaRegistry: SchemaRegistry | undefined): Pick<ProcessorOptions, 'prepare' | 'parse'> {
  if (schemaRegistry === undefined) return {}
  return {
    prepare: ({ records }, signal) =>
      schemaRegistry.prepare(
        records.map(({ value }) => value),
        signal,
      ),
    parse: ({ value }) => schemaRegistry.parse(value),
  }
}

type ReferenceOf = NonNullable<ProcessorOptions['referenceOf']>

function referenceTo({ offset }: StreamRecord, { value }: Event, { partition }: RecordBatch): EventReference {
  return Number.isNaN(value) ? { partition, offset } : { value, partition, offset }
}

/** The verdict that the API signed for an event and sent along with it: it did not know yet where the event would stand. */
function givenVerdictOf(signingKey: KeyObject | undefined, referenceOf: ReferenceOf): ProcessorOptions['givenVerdict'] {
  if (signingKey === undefined) return undefined
  return (record, event, batch) => {
    const { key, value, headers } = record
    if (headers === undefined) return undefined
    const verdict = verifyVerdict(signingKey, { topic: batch.topic, key, eventId: event.id, value }, headers)
    const reference = referenceOf(record, event, batch)
    return verdict === undefined || reference === undefined ? verdict : withReference(verdict, reference)
  }
}
