import { readFile } from 'node:fs/promises'
import { canonicalJson } from '../canonical-json.ts'
import { messageOf } from '../errors.ts'
import type { Part } from '../lifecycle.ts'
import type { Logger } from '../log.ts'
import { pipelineOf } from './load-pipeline.ts'
import type { DetectionSpec, Notification, Pipeline } from './spec.ts'

/** What of `detection` a process that runs takes up; everything else needs it to start again. */
export const liveFields = [
  'alertBudget',
  'alertBudgetPerMillion',
  'threshold',
  'refractorySeconds',
  'rules',
  'mutes',
  'calendars',
  'model',
] as const

/** The detection without what a process that runs takes up. */
export function fixedDetection(detection: DetectionSpec): Omit<DetectionSpec, (typeof liveFields)[number]> {
  const live: readonly string[] = liveFields
  const fixed = Object.entries(detection).filter(([name]) => !live.includes(name))
  return Object.fromEntries(fixed) as Omit<DetectionSpec, (typeof liveFields)[number]>
}

/** A pipeline whose file may change while the process runs. */
export interface LivePipeline {
  /** By which events are judged now: another object where it has changed. */
  readonly detection: DetectionSpec
  /** Who is told of episodes now: another list where it has changed. */
  readonly notifications: readonly Notification[]
  /** What links in notifications begin with now. */
  readonly externalUrl: string | undefined
  /** Whether verdicts are kept for later now. */
  readonly keepsHistory: boolean
  /** The generation of the document that was taken up last; undefined where its file does not say. */
  readonly generation: number | undefined
}

export interface LivePipelineOptions {
  readonly log: Logger
  /** How often the file is looked at. */
  readonly everyMs?: number | undefined
}

/** One that does not change. */
export function fixedPipeline({ metadata: { generation }, spec }: Pipeline): LivePipeline {
  const { detection, notifications = [], api, history } = spec
  return { detection, notifications, externalUrl: api.externalUrl, keepsHistory: history !== undefined, generation }
}

/**
 * Takes up the live fields of the pipeline's file when it changes. A file that is not valid is refused with a line in the
 * log, and what was taken up before stays.
 */
export function livePipeline(path: string, pipeline: Pipeline, options: LivePipelineOptions): LivePipeline & Part {
  const { log, everyMs = 1000 } = options
  const fixed = canonicalJson(fixedDetection(pipeline.spec.detection))
  let { detection, notifications, externalUrl, keepsHistory, generation } = fixedPipeline(pipeline)
  let seen: string | undefined
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void> | undefined

  function takeNotifications({ spec }: Pipeline): void {
    const { notifications: others = [], api } = spec
    if (canonicalJson([others, api.externalUrl]) === canonicalJson([notifications, externalUrl])) return
    notifications = others
    externalUrl = api.externalUrl
  }

  function take(changed: Pipeline): void {
    const { metadata, spec } = changed
    generation = metadata.generation
    keepsHistory = spec.history !== undefined
    takeNotifications(changed)
    if (canonicalJson(fixedDetection(spec.detection)) !== fixed)
      log.info({ generation }, 'the pipeline has changes that take effect when the process starts again')
    const next = { ...detection }
    for (const field of liveFields) Object.assign(next, { [field]: spec.detection[field] })
    if (canonicalJson(next) === canonicalJson(detection)) return
    detection = next
    log.info(
      { generation, ...changeOf(next) },
      'the pipeline has changed: alert budget, threshold, refractory period, rules, mutes, calendars and models are taken up',
    )
  }

  async function look(): Promise<void> {
    try {
      const text = await readFile(path, 'utf8')
      if (text === seen) return
      seen = text
      try {
        take(pipelineOf(text, path))
      } catch (error) {
        log.error({ problem: messageOf(error) }, 'the changed pipeline is refused: the former one stays')
      }
    } catch (error) {
      if (seen !== '')
        log.error({ problem: messageOf(error) }, 'the pipeline cannot be read again: the former one stays')
      seen = ''
    }
  }

  /** One after the other. */
  function lookAgain(): void {
    looking ??= look().finally(() => {
      looking = undefined
    })
  }

  return {
    name: 'pipeline file',
    get detection() {
      return detection
    },
    get notifications() {
      return notifications
    },
    get externalUrl() {
      return externalUrl
    },
    get keepsHistory() {
      return keepsHistory
    },
    get generation() {
      return generation
    },
    async start() {
      await look()
      timer = setInterval(lookAgain, everyMs)
      timer.unref()
    },
    stop() {
      clearInterval(timer)
      return looking
    },
  }
}

/** As a line of the log shows it. */
function changeOf(detection: DetectionSpec) {
  const { alertBudget, alertBudgetPerMillion, threshold, rules, mutes = [], calendars = [], model } = detection
  const budget =
    threshold === undefined
      ? { alertBudgetPerMillion: alertBudget?.perMillion ?? alertBudgetPerMillion }
      : { threshold }
  const names = rules.map(({ name }) => name)
  return { ...budget, rules: names, mutes: mutes.length, calendars: calendars.length, ...(model && { model }) }
}
