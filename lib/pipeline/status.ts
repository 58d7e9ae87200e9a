import * as z from 'zod'
import { choice, integer, listMap, pattern, text } from './fields.ts'
import type { Plain } from './plain.ts'

/** What the operator reports of a pipeline. Every field is optional: it is absent until it was seen. */

export const conditionTypes = [
  'Ready',
  'Available',
  'Progressing',
  'SpecValid',
  'SourceReachable',
  'StateReachable',
  'ModelReady',
  'Degraded',
  'ScalingActive',
  'BackedUp',
  'StateMoved',
  'Reconciling',
  'Stalled',
] as const

const max32 = 2_147_483_647
const count = (what: string) => integer(0, max32).optional().describe(what)
const words = (max: number, what: string) => text(max).optional().describe(what)
/** RFC 3339. */
const moment = () => text(64).meta({ format: 'date-time' })
const perMillion = (what: string) => integer(0, 1_000_000).optional().describe(`Alerts per million. ${what}`)
const percent = (what: string) => integer(0, 100).optional().describe(what)
const generation = () => integer(0, Number.MAX_SAFE_INTEGER)

const condition = z
  .object({
    type: choice(conditionTypes).describe('What is told.'),
    status: choice(['True', 'False', 'Unknown']).describe('Whether it is so.'),
    observedGeneration: generation().optional().describe('The generation of the pipeline that this was seen with.'),
    lastTransitionTime: moment().describe('When status last changed.'),
    reason: pattern(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/, 256, 'one word in CamelCase').describe(
      'Why, in one word for programs.',
    ),
    message: text(32_768).describe('Why, for people, and what to do.'),
  })
  .describe('One thing that is known of the pipeline.')

const component = (what: string) =>
  z
    .object({
      desired: count('Pods that there should be.'),
      updated: count('Pods that run the present document.'),
      ready: count('Pods that are ready.'),
      summary: words(32, 'ready/desired, as printed by kubectl.'),
      reason: words(256, 'Why a pod of it waits, in one word; absent while none does.'),
      message: words(1024, 'What the pod that waits says.'),
    })
    .optional()
    .describe(what)

export const pipelineStatus = z.object({
  observedGeneration: generation().optional().describe('The generation of the pipeline that this status is about.'),
  observedConfig: generation()
    .optional()
    .describe('The generation of the pipeline that all of its processes judge by, as they say.'),
  conditions: listMap(condition, 'type', 0, 16).optional().describe('What is known of the pipeline.'),
  components: z
    .object({
      consumer: component('The workload that reads events from Kafka.'),
      inference: component('The workload that scores rows.'),
      api: component('The workload that answers requests.'),
      recorder: component('The workload that writes the history and sends notifications; absent without either.'),
      redis: component('The managed Redis; absent with an external one.'),
    })
    .optional()
    .describe('Each workload: how many pods of it there are, and why one waits.'),
  source: z
    .object({
      partitions: count('Partitions of the topic of events.'),
      lag: integer(0, Number.MAX_SAFE_INTEGER).optional().describe('Events in the topic that have no verdict yet.'),
    })
    .optional()
    .describe('The topic of events as last sampled.'),
  results: z
    .object({
      topic: words(249, 'Topic of the verdicts.'),
      deadLetterTopic: words(249, 'Topic of the events that could not be read.'),
    })
    .optional()
    .describe('Where verdicts and dead letters go.'),
  redis: z
    .object({
      primary: words(253, 'The pod that takes the writes.'),
      inSync: z.boolean().optional().describe('Whether the other has what it has, and may take over.'),
    })
    .optional()
    .describe('The two pods of the managed Redis; absent with one.'),
  backup: z
    .object({ lastTime: moment().optional().describe('When the last one that succeeded was made.') })
    .optional()
    .describe('The backups of the managed Redis.'),
  scaling: z
    .object({
      minReplicas: count('Fewest consumers that the lag asks for at present.'),
      maxReplicas: count('Most consumers that have work: the smaller of partitions and maxReplicas.'),
    })
    .optional()
    .describe('The bounds that lag and partitions set to the consumers; absent with fixed replicas.'),
  history: z
    .object({
      lag: integer(0, Number.MAX_SAFE_INTEGER)
        .optional()
        .describe('Published verdicts and changes of episodes that are not recorded yet.'),
    })
    .optional()
    .describe('The history as the recorder tells of it; absent without one.'),
  model: z
    .object({
      version: words(320, 'The version that scores; absent while the first is learning.'),
      fitTime: moment().optional().describe('When it was fitted.'),
      rows: integer(0, Number.MAX_SAFE_INTEGER).optional().describe('Rows of the stream that it stands for.'),
      candidate: z
        .object({
          version: words(320, 'Its version.'),
          outcome: choice(['Refused', 'Forced']).describe(
            'Refused: the one before goes on. Forced: it took over, since several before it were refused as well.',
          ),
          message: words(1024, 'Why it is out of bounds.'),
        })
        .optional()
        .describe('The model that was fitted last, where what it says of the last rows was out of bounds.'),
      challenger: z
        .object({
          version: words(320, 'Its version.'),
          percentOfKeys: integer(0, 100).optional().describe('Percent of the keys whose events it decides on.'),
          alertsPerMillion: perMillion('Of the events that it decided on.'),
          championAlertsPerMillion: perMillion('Of the events that the champion decided on meanwhile.'),
          agreementPercent: integer(-100, 100)
            .optional()
            .describe('Rank correlation of both on its keys, in percent; 100 where they order events alike.'),
          precisionPercent: percent('Its alerts that were confirmed, of those that people said something of.'),
          championPrecisionPercent: percent("The champion's likewise."),
        })
        .optional()
        .describe('The model that decides on a part of the keys, beside the champion; absent where there is none.'),
    })
    .optional()
    .describe('The model in use.'),
  alerts: z
    .object({
      perMillion: integer(0, 1_000_000)
        .optional()
        .describe('Events per million of the last hour that were called anomalies; absent where they were too few.'),
      openEpisodes: count('Episodes of alerts that are open.'),
      episodesLastHour: count('Episodes that were opened in the last hour.'),
      budgetPerMillion: integer(0, 1_000_000).optional().describe('The alert budget; absent with a fixed threshold.'),
      summary: words(32, 'Alerts per million got/budget, as printed by kubectl.'),
    })
    .optional()
    .describe('The rate of alerts against the budget.'),
})

export type PipelineStatus = Plain<z.output<typeof pipelineStatus>>
