import { Registry } from 'prom-client'
import { type Part, run as runParts } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import { createMetrics } from '../../lib/metrics.ts'
import type { LivePipeline } from '../../lib/pipeline/live-pipeline.ts'
import { onnxFolder, resolveDetectors } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { createProbes } from '../../lib/probes.ts'
import type { Event } from '../detection/event.ts'
import type { Verdict } from '../detection/verdict.ts'
import type { InputRecord } from '../files/input-record.ts'
import type { LineWriter } from '../files/line-writer.ts'
import { writeRejection } from '../files/rejects.ts'
import type { History as KeptHistory } from '../history/history.ts'
import { ChallengeCounts } from '../judging/challenge-counts.ts'
import { createFlowMeter } from '../judging/flow-meter.ts'
import { judgementMetrics } from '../judging/judgement-metrics.ts'
import { createLocalPipeline, type LocalPipeline } from '../judging/local-pipeline.ts'
import { NewFeatures } from '../judging/new-features.ts'
import { isVerdict, type ProcessedBatch } from '../judging/processor.ts'
import { createLocalNotifications } from '../notifications/local-notifications.ts'
import { createApp } from '../rest/app.ts'
import { createLiveEvents, liveEpisode, liveVerdict } from '../rest/live-events.ts'
import { type Overview, planIn } from '../rest/overview.ts'
import { createApiServer } from '../rest/server.ts'
import { onnxPart, openOnnxModels } from '../scoring/onnx-models.ts'
import { shownRecord } from '../scoring/shown-record.ts'
import type { Rejection } from '../wire/rejection.ts'
import { createLocalDoor } from './local-door.ts'
import { createRecorder } from './recorder.ts'

/** Feeds the stream; returns when there is no more. */
export type Feed = (local: LocalPipeline, signal: AbortSignal) => Promise<void>

export interface History {
  readonly feed: Feed
  /** How many events have been learnt so far. */
  readonly onLearnt?: (events: number) => void
  /** All of them have been, and models are fitted. */
  readonly onEnd?: () => void
}

export interface RunOptions {
  readonly pipeline: Pipeline
  readonly live?: (LivePipeline & Part) | undefined
  /** Where models of ConfigMaps and volumes are. */
  readonly onnxFolder?: string | undefined
  readonly log: Logger
  readonly feed?: Feed | undefined
  /** Past events, learnt as fast as they come before anything else is let in: their verdicts go nowhere. */
  readonly history?: History | undefined
  /** The feed is of several files, so that a row's number alone is no id. */
  readonly severalFiles?: boolean | undefined
  /** Verdicts as JSONL. */
  readonly output?: LineWriter | undefined
  readonly rejects?: LineWriter | undefined
  /** Where verdicts and episodes are kept. */
  readonly kept?: KeptHistory | undefined
  /** Present: the receivers of the pipeline are told of episodes. */
  readonly notify?: { readonly secretsFolder: string | undefined } | undefined
  /** Port of the API; undefined: none. */
  readonly port: number | undefined
  /** Port of the probes and metrics; undefined: none. */
  readonly probesPort: number | undefined
  readonly seed: number
  readonly exitAtEnd: boolean
  readonly onVerdict?: (record: InputRecord, verdict: Verdict, event: Event) => void
  readonly onRejected?: (record: InputRecord, rejection: Rejection) => void
  readonly onStarted?: (
    addresses: { readonly api: number | undefined; readonly probes: number | undefined },
    local: LocalPipeline,
  ) => void
  readonly stop?: AbortController
}

export interface RunSummary {
  readonly events: number
  readonly alerts: number
  readonly rejected: number
}

/** A whole pipeline in this process, until its input ends (`exitAtEnd`), a signal comes or something fails. */
export async function run(options: RunOptions): Promise<RunSummary> {
  const { pipeline, log, feed, output, rejects, onVerdict, onRejected } = options
  const stop = options.stop ?? new AbortController()
  const registry = new Registry()
  const clock = () => performance.now()
  const metrics = createMetrics(registry, clock)
  const detection = () => options.live?.detection ?? pipeline.spec.detection
  const challenge = new ChallengeCounts(registry, () => detection().model?.challenger?.version)
  const count = judgementMetrics({ metrics, clock, modelVersion: () => local.scorer.modelVersion })
  const newFeatures = new NewFeatures({ registry, log, wall: Date.now })
  const summary = { events: 0, alerts: 0, rejected: 0 }
  let turned = performance.now()
  let learnt = 0
  let unprocessable = 0
  let isLearning = options.history !== undefined
  let local: LocalPipeline
  const door = createLocalDoor(pipeline, () => local)
  const liveEvents = createLiveEvents()
  const meter = createFlowMeter(clock)
  const openFeedback = pipeline.spec.detection.feedback?.authentication === 'None'
  const overview = (): Overview => ({
    ...planIn(pipeline),
    lastHour: metrics.lately.totals,
    openEpisodes: local.partitions.openEpisodes,
    takesFeedback: openFeedback,
    keys: local.partitions.keys,
    modelVersion: local.scorer.modelVersion,
    ...meter.flow,
    waiting: local.stream.waiting,
    health: door.health(),
  })
  const notifications =
    options.notify === undefined ? undefined : createLocalNotifications({ pipeline, registry, log, ...options.notify })
  const recorder = options.kept === undefined ? undefined : createRecorder(options.kept, log)

  function setAside({ source, row }: InputRecord, { message }: Rejection): void {
    unprocessable++
    log.error({ source, row, error: message }, 'a record cannot be processed: it is set aside')
  }
  const observer = (processed: ProcessedBatch) => {
    const { batch, outcomes } = processed
    turned = performance.now()
    let alerts = 0
    let rejected = 0
    for (let i = 0; i < outcomes.length; i++) {
      const outcome = outcomes[i]!
      const record = batch.records[i] as InputRecord
      if (isVerdict(outcome)) {
        if (isLearning) continue
        if (outcome.isAnomaly) alerts++
        onVerdict?.(record, outcome, processed.events[i]!)
      } else {
        rejected++
        if (outcome.reason === 'Unprocessable') setAside(record, outcome)
        if (rejects !== undefined) writeRejection(rejects, record, outcome)
        onRejected?.(record, outcome)
      }
    }
    if (isLearning) {
      learnt += outcomes.length - rejected
      summary.rejected += rejected
      rejects?.flush()
      options.history?.onLearnt?.(learnt)
      return
    }
    const verdicts = outcomes.length - rejected
    summary.events += verdicts
    summary.alerts += alerts
    summary.rejected += rejected
    metrics.stateLookups.inc({ outcome: 'hit' }, verdicts)
    if (output !== undefined)
      for (const verdict of processed.published) if (verdict !== undefined) output.write(verdict)
    // Who reads along sees each batch when it is judged.
    output?.flush()
    rejects?.flush()
    door.observe(processed)
    recorder?.observe(processed)
    notifications?.observe(processed.episodes)
    meter.observe(processed)()
    if (liveEvents.listeners > 0) {
      const verdicts = processed.published.flatMap((json) => (json === undefined ? [] : (liveVerdict(json) ?? [])))
      const episodes = processed.episodes.flatMap((episode) => liveEpisode(JSON.stringify(episode)) ?? [])
      liveEvents.publish([...verdicts, ...episodes])
    }
    count(processed)()
    challenge.observe(processed)()
  }
  const onnx = await openOnnxModels(resolveDetectors(pipeline.spec.detection), {
    folder: options.onnxFolder ?? onnxFolder,
    onProblem: (reason) => log.warn({ problem: reason }, 'a model of your own does not answer as it should'),
  })
  local = createLocalPipeline({
    pipeline,
    onnx,
    live: options.live,
    seed: options.seed,
    fitting: 'Worker',
    severalFiles: options.severalFiles,
    clocks: { wall: Date.now, monotonic: clock },
    observer,
    onNewFeatures: (names) => newFeatures.announce(names),
    onModel: ({ version, rowsSeen, outcome, reason }) => {
      if (reason !== undefined) log.warn({ version, rowsSeen, outcome, reason }, 'the new model is out of bounds')
    },
    onFitError: (error) => log.warn({ error }, 'a model could not be fitted; the former one goes on'),
  })

  let handling: Promise<void> = Promise.resolve()
  const loop: Part = {
    name: 'pipeline',
    start() {
      handling = local.run()
      handling.catch((error: unknown) => {
        stop.abort(error)
        door.fail(error)
      })
    },
    async stop() {
      local.stream.end()
      await handling.catch(() => {})
      await local.scorer.close()
    },
  }
  const writers: Part = {
    name: 'output',
    async stop() {
      try {
        output?.close()
      } finally {
        rejects?.close()
        await options.kept?.close()
      }
    },
  }
  let feeding: Promise<void> = Promise.resolve()
  const input: Part = {
    name: 'input',
    start() {
      if (feed === undefined) return
      feeding = feed(local, stop.signal).then(
        () => {
          if (options.exitAtEnd) stop.abort()
        },
        (error: unknown) => stop.abort(error),
      )
    },
    stop: () => feeding,
  }
  const past: Part = {
    name: 'history',
    async start(signal) {
      if (options.history === undefined) return
      await options.history.feed(local, signal)
      await local.stream.drained()
      await local.scorer.idle()
      isLearning = false
      if (!signal.aborted) options.history.onEnd?.()
    },
  }

  const live = {
    'poll-loop': () =>
      local.stream.waiting > 0 && performance.now() - turned > 60_000
        ? 'events wait, and no batch has ended for a minute'
        : undefined,
  }
  const probes =
    options.probesPort === undefined
      ? undefined
      : createProbes({
          port: options.probesPort,
          registry,
          stopping: stop.signal,
          live,
          status: () => ({
            ...metrics.lately.totals,
            conditions: { unprocessable },
            news: newFeatures.lately,
            openEpisodes: local.partitions.openEpisodes,
            keys: local.partitions.keys,
            ...modelStatus(local.scorer, challenge),
          }),
        })
  const api =
    options.port === undefined
      ? undefined
      : createApiServer(
          createApp(door, {
            log,
            registry,
            event: pipeline.spec.event,
            live: liveEvents,
            history: options.kept,
            overview,
            detection: () => pipeline.spec.detection,
            openFeedback,
          }),
          {
            port: options.port,
          },
        )
  const started: Part = {
    name: 'start',
    start: () => options.onStarted?.({ api: api?.port, probes: probes?.port }, local),
  }
  await runParts(
    [probes, options.live, onnxPart(onnx), writers, notifications, loop, past, api, liveEvents, started, input].filter(
      (part) => part !== undefined,
    ),
    { log, stop },
  )
  return summary
}

/** What `/status` says of models. */
function modelStatus(scorer: LocalPipeline['scorer'], { counts }: ChallengeCounts) {
  return {
    modelVersion: scorer.modelVersion,
    models: scorer.records.map(shownRecord),
    modelProblems: scorer.problems,
    challenger: scorer.figures(),
    challenge: counts,
  }
}
