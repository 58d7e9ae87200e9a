import { onnxFolder, resolveDetectors } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { InputFile } from '../files/input-files.ts'
import type { InputRecord } from '../files/input-record.ts'
import { readEvents } from '../files/read-events.ts'
import { createLocalPipeline } from '../judging/local-pipeline.ts'
import { isVerdict, type ProcessedBatch } from '../judging/processor.ts'
import { openOnnxModels } from '../scoring/onnx-models.ts'
import { type FieldReader, fieldReader, namedFields } from '../wire/event-fields.ts'
import { parseBody } from '../wire/json-body.ts'
import type { Rejection } from '../wire/rejection.ts'
import { DelayedLabels } from './delayed-labels.ts'

export interface BacktestEvent {
  readonly record: InputRecord
  readonly event: Event
  readonly verdict: Verdict
  /** The verdict as JSON, without processing times. */
  readonly json: string
  /** 1 anomaly, 0 normal; undefined without a label field, or where the row has no readable label. */
  readonly label: 0 | 1 | undefined
}

export interface BacktestOptions {
  readonly pipeline: Pipeline
  readonly files: readonly InputFile[]
  /** What was read of the files already, in the place of reading them. */
  readonly rows?: readonly InputRecord[] | undefined
  /** Path of a field with a 0/1 label; never a feature. */
  readonly label?: string | undefined
  /** The labels come back as feedback so much later in the time of the events, in ms; not at all if absent. */
  readonly feedbackDelayMs?: number | undefined
  /** Of CSV; by default found by the header. */
  readonly delimiter?: string | undefined
  readonly seed?: number
  /** Where models of ConfigMaps and volumes are. */
  readonly onnxFolder?: string | undefined
  /** Called for every readable event, in input order. */
  readonly onEvent?: (event: BacktestEvent) => void
  readonly onRejected?: (record: InputRecord, rejection: Rejection) => void
  readonly onBytes?: (count: number) => void
  readonly signal?: AbortSignal | undefined
}

export interface BacktestSummary {
  readonly events: number
  readonly alerts: number
  readonly rejected: number
  readonly keys: number
  readonly modelVersion: string
}

/**
 * Runs a pipeline over past data as fast as it goes: the same learning and scoring as on a live stream, reproducible
 * to the last bit. Reading waits for handling, so memory does not grow with the input.
 */
export async function backtest(options: BacktestOptions): Promise<BacktestSummary> {
  const { pipeline, files, label, signal } = options
  const readLabel = label === undefined ? undefined : fieldReader(label)
  let events = 0
  let alerts = 0
  let rejected = 0
  let keys = 0
  let failed = false

  const observer = ({ batch, outcomes, events: decoded, published }: ProcessedBatch) => {
    keys = local.partitions.keys
    for (let i = 0; i < outcomes.length; i++) {
      const outcome = outcomes[i]!
      const record = batch.records[i] as InputRecord
      if (!isVerdict(outcome)) {
        rejected++
        options.onRejected?.(record, outcome)
        continue
      }
      events++
      if (outcome.isAnomaly) alerts++
      const json = published[i]!
      options.onEvent?.({ record, event: decoded[i]!, verdict: outcome, json, label: labelOf(record, readLabel) })
    }
  }

  // Over past data every event gets its verdict, whatever is published in a cluster.
  const all: Pipeline = {
    ...pipeline,
    spec: { ...pipeline.spec, results: { ...pipeline.spec.results, publish: 'All' } },
  }
  const onnx = await openOnnxModels(resolveDetectors(pipeline.spec.detection), {
    folder: options.onnxFolder ?? onnxFolder,
  })
  const local = createLocalPipeline({
    pipeline: all,
    onnx,
    seed: options.seed ?? 1,
    fitting: 'Inline',
    severalFiles: files.length > 1,
    label,
    feedback:
      options.feedbackDelayMs === undefined
        ? undefined
        : new DelayedLabels({
            delayMs: options.feedbackDelayMs,
            labelOf: (record) => labelOf(record as InputRecord, readLabel),
          }),
    observer,
  })
  const named = namedFields(pipeline.spec.event)
  const reading = {
    signal,
    onBytes: options.onBytes,
    delimiter: options.delimiter,
    named: label === undefined ? named : [...named, label],
  }
  const running = local.run(signal)
  running.catch(() => {
    failed = true
  })
  try {
    for await (const rows of options.rows === undefined ? readEvents(files, reading) : inParts(options.rows)) {
      if (signal?.aborted === true || failed) break
      for (const row of rows) local.stream.append(row)
      const room = local.stream.room()
      if (room !== undefined) await room
    }
  } finally {
    // What was read before a damaged place is judged all the same.
    local.stream.end()
    await running
    for (const runner of onnx) await runner.close()
  }
  return { events, alerts, rejected, keys, modelVersion: local.scorer.modelVersion }
}

function* inParts(rows: readonly InputRecord[]): Generator<readonly InputRecord[]> {
  for (let at = 0; at < rows.length; at += 1000) yield rows.slice(at, at + 1000)
}

function labelOf({ body, value }: InputRecord, readLabel: FieldReader | undefined): 0 | 1 | undefined {
  if (readLabel === undefined) return undefined
  const parsed = body === undefined ? parseBody(value) : { value: body }
  const raw = 'reason' in parsed ? undefined : readLabel(parsed.value as Record<string, unknown>)
  const truth = typeof raw === 'string' ? truthOf[raw.toLowerCase()] : raw
  return truth === 1 || truth === true ? 1 : truth === 0 || truth === false ? 0 : undefined
}

/** How 0 and 1 are written in CSV files. */
const truthOf: Readonly<Record<string, 0 | 1>> = { '0': 0, '1': 1, '0.0': 0, '1.0': 1, false: 0, true: 1 }
