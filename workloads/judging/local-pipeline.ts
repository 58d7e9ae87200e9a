import type { StreamRecord } from '../../lib/kafka/records.ts'
import type { LivePipeline } from '../../lib/pipeline/live-pipeline.ts'
import { resolveDetectors, resolveFeatures } from '../../lib/pipeline/resolve-pipeline.ts'
import type { EventMapping, Pipeline } from '../../lib/pipeline/spec.ts'
import { FeatureSchema, maxFeatures } from '../detection/feature-schema.ts'
import type { ModelRecord } from '../detection/model-record.ts'
import type { InputRecord } from '../files/input-record.ts'
import { type Fitting, InProcessScorer } from '../scoring/in-process.ts'
import type { OnnxRunner } from '../scoring/onnx-runner.ts'
import { KnownNames } from '../state/known-names.ts'
import { usedAtMostMs } from '../state/state.ts'
import { MemoryStream } from '../streams/memory.ts'
import { lineOf } from '../streams/problem.ts'
import { futureTolerance, latestPlausibleTime, type Origin } from '../wire/decode.ts'
import { type ParsedBody, parseBody } from '../wire/json-body.ts'
import { MemoryPartitions, type Partitions } from './partitions.ts'
import { type FeedbackSource, type ProcessedBatch, Processor } from './processor.ts'

/** Source of the events that came in by REST. */
export const apiSource = 'api'

export interface LocalPipelineOptions {
  readonly pipeline: Pipeline
  /** The part of it that may change meanwhile. */
  readonly live?: LivePipeline | undefined
  /** Of the detectors that have a model of somebody else's. */
  readonly onnx?: readonly OnnxRunner[] | undefined
  readonly seed: number
  /** Inline over past data, where the model must change at exactly the same row every time; Worker while serving. */
  readonly fitting: Fitting
  /** Rows come from several files, so that a row's number alone is no id. */
  readonly severalFiles?: boolean | undefined
  /** Path of the field that holds the label: never a feature. */
  readonly label?: string | undefined
  /** What is said of past events at their time. */
  readonly feedback?: FeedbackSource | undefined
  /** Clocks of a process that serves; over past data there are none, and the result is reproducible. */
  readonly clocks?: { readonly wall: () => number; readonly monotonic: () => number } | undefined
  readonly batchSize?: number
  readonly observer?: (processed: ProcessedBatch) => void
  readonly onFitError?: ((error: unknown) => void) | undefined
  /** Told of each model that was fitted, and whether it took over. */
  readonly onModel?: ((record: ModelRecord) => void) | undefined
  /** Told of features that the stream did not begin with. */
  readonly onNewFeatures?: ((names: readonly string[]) => void) | undefined
}

export interface LocalPipeline {
  readonly stream: MemoryStream<InputRecord>
  readonly partitions: Partitions
  readonly scorer: InProcessScorer
  readonly schema: Pick<FeatureSchema, 'names' | 'size'>
  /** Handles what is appended to the stream until it ends or the signal aborts; the batch in hand is finished. */
  run(signal?: AbortSignal): Promise<void>
}

/** The whole pipeline in one process: one partition in memory, models in place. */
export function createLocalPipeline(options: LocalPipelineOptions): LocalPipeline {
  const { pipeline, live, seed, fitting, label, clocks, observer } = options
  const schema = new FeatureSchema()
  const known = new KnownNames({ maxFeatures })
  const detectors = resolveDetectors(pipeline.spec.detection)
  const scorer = new InProcessScorer({
    detectors,
    onnx: options.onnx,
    seed,
    fitting,
    clock: clocks?.wall,
    detection: () => live?.detection ?? pipeline.spec.detection,
    onFitError: options.onFitError,
    onModel: options.onModel,
  })
  const stream = new MemoryStream<InputRecord>({
    topic: pipeline.spec.source.topic,
    batchSize: options.batchSize ?? 500,
    unprocessable: (record, error) => ({
      ...record,
      rejection: { reason: 'Unprocessable', message: lineOf(error) },
    }),
  })
  const several = options.severalFiles === true || pipeline.spec.event.key === '$source'
  const partitions = new MemoryPartitions({ pipeline, schema })
  let told = Number.NEGATIVE_INFINITY
  function forgetUnused(now: number): void {
    if (now - told < usedAtMostMs / 2) return
    told = now
    schema.adopt(known.use(schema.takeUsed(), 1000 * pipeline.spec.state.profileTtlSeconds, now))
  }
  const processor = new Processor({
    pipeline,
    live,
    partitions,
    schema,
    scorer,
    extendSchema: (names, before) => {
      // Those that a stream begins with are no news.
      const isBeginning = schema.size === 0
      schema.adopt(known.extend([...schema.names, ...names], clocks?.wall() ?? before), names)
      if (!isBeginning) options.onNewFeatures?.(names.filter((name) => schema.indexOf(name) !== undefined))
    },
    originOf: (record) => originOf(record as InputRecord, several, clocks?.wall),
    parse: parseInput,
    rejectionOf: (record) => (record as InputRecord).rejection,
    ...(pipeline.spec.detection.feedback !== undefined && {
      feedbackOf: (record: StreamRecord) => (record as InputRecord).feedback,
    }),
    feedback: options.feedback,
    decode: label === undefined ? {} : { ignore: [asFeature(label, pipeline.spec.event)] },
    ...(clocks === undefined ? undefined : { clock: clocks.monotonic }),
    observer: (processed) => () => {
      observer?.(processed)
      if (clocks !== undefined) forgetUnused(clocks.wall())
    },
  })
  return {
    stream,
    partitions,
    scorer,
    schema,
    run: (signal) => stream.consume(processor, { signal }),
  }
}

/** What the field would be called as a feature. */
function asFeature(path: string, mapping: EventMapping): string {
  const features = resolveFeatures(mapping)
  const isAmong = features.type === 'object' && path.startsWith(`${features.field}.`)
  return isAmong ? path.slice(features.field.length + 1) : path
}

function originOf(record: InputRecord, several: boolean, wall: (() => number) | undefined): Origin {
  const now = wall?.()
  return {
    id: several || record.source === apiSource ? `${record.source}:row-${record.row}` : `row-${record.row}`,
    source: record.source,
    recordKey: record.key ?? undefined,
    arrival: now ?? Number.NaN,
    latest: now === undefined ? latestPlausibleTime : now + futureTolerance,
    text: record.text,
  }
}

function parseInput(record: StreamRecord): ParsedBody {
  const { body, value } = record as InputRecord
  return body === undefined ? parseBody(value) : { value: body, ...(value !== null && { json: value }) }
}
