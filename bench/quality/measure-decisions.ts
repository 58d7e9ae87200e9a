import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { surprisalOf } from '../../workloads/detection/anomaly-score.ts'
import type { Verdict } from '../../workloads/detection/verdict.ts'
import { createLocalPipeline } from '../../workloads/judging/local-pipeline.ts'
import { isVerdict } from '../../workloads/judging/processor.ts'
import { simulatePayments } from '../../workloads/simulation/simulate-payments.ts'
import { type Figure, type Measurement, meanOverSeeds } from './measurement.ts'

const seeds = [1, 2, 3] as const
const events = 200_000
const users = 2000
const blockEvents = 10_000
/** An event of the same episode alerts all the same if it is that much more surprising than the alert was. */
const escalation = 1.5

interface Judged {
  readonly verdict: Verdict
  readonly isTrue: boolean
}

/**
 * What the alert budget makes of the scores: the alerts of the pipeline over simulated payments, beside those of the best
 * fixed threshold in hindsight with as many alerts and the same refractory period. Scores are the same for both.
 */
export async function* measureDecisions(pipeline: Pipeline): AsyncGenerator<Measurement> {
  for (const perMillion of [3000, 1000]) {
    const runs: Figure[][] = []
    for (const seed of seeds)
      runs.push(figuresOf(await judge(withBudget(pipeline, perMillion), seed), pipeline, perMillion))
    yield {
      collection: `budget ${perMillion}`,
      scope: `${events} simulated payments of ${users} users, seeds ${seeds.join(', ')}; in parentheses the best fixed threshold in hindsight`,
      figures: meanOverSeeds(runs),
    }
  }
}

function withBudget(pipeline: Pipeline, perMillion: number): Pipeline {
  const { alertBudgetPerMillion, threshold, ...detection } = pipeline.spec.detection
  return { ...pipeline, spec: { ...pipeline.spec, detection: { ...detection, alertBudget: { perMillion } } } }
}

async function judge(pipeline: Pipeline, seed: number): Promise<readonly Judged[]> {
  const truth: boolean[] = []
  const judged: Judged[] = []
  const local = createLocalPipeline({
    pipeline,
    seed,
    fitting: 'Inline',
    observer: ({ outcomes }) => {
      for (const verdict of outcomes) if (isVerdict(verdict)) judged.push({ verdict, isTrue: truth[judged.length]! })
    },
  })
  const running = local.run()
  let row = 0
  for (const { event, injected } of simulatePayments({ seed, users, startTime: Date.UTC(2020, 0, 6) })) {
    truth.push(injected !== '')
    row++
    const record = {
      key: null,
      value: JSON.stringify(event),
      timestamp: Number.NaN,
      source: 'simulation',
      row,
      line: row,
    }
    local.stream.append(record)
    await local.stream.room()
    if (row === events) break
  }
  local.stream.end()
  await running
  return judged
}

function figuresOf(judged: readonly Judged[], { spec }: Pipeline, perMillion: number): Figure[] {
  const alerts = judged.map(({ verdict }) => verdict.isAnomaly)
  const count = alerts.filter(Boolean).length
  const hindsight = bestFixed(judged, count, 1000 * spec.detection.refractorySeconds)
  const third = Math.floor(judged.length / 3)
  const asked = perMillion / 1e6
  const inBlocks = (of: readonly boolean[]) =>
    Math.max(...blocks(of).map((block) => block.filter(Boolean).length)) / (asked * blockEvents)
  return [
    { name: 'precision', pipeline: precision(judged, alerts), baseline: precision(judged, hindsight) },
    {
      name: 'first third',
      pipeline: precision(judged.slice(0, third), alerts),
      baseline: precision(judged.slice(0, third), hindsight),
    },
    { name: 'got / asked', pipeline: count / (asked * judged.length) },
    { name: 'worst block', pipeline: inBlocks(alerts), baseline: inBlocks(hindsight) },
  ]
}

function blocks(alerts: readonly boolean[]): boolean[][] {
  return Array.from({ length: Math.ceil(alerts.length / blockEvents) }, (_, block) =>
    alerts.slice(block * blockEvents, (block + 1) * blockEvents),
  )
}

function precision(judged: readonly Judged[], alerts: readonly boolean[]): number {
  const right = judged.filter(({ isTrue }, i) => isTrue && alerts[i]).length
  return right / judged.filter((_, i) => alerts[i]).length
}

/** The decisions of the lowest threshold on the anomaly score that alerts at most `budget` times. */
function bestFixed(judged: readonly Judged[], budget: number, refractoryMs: number): boolean[] {
  const scores = judged.map(({ verdict }) => verdict.anomalyScore).sort((one, other) => one - other)
  let tooLow = -1
  let within = scores.length
  while (within - tooLow > 1) {
    const middle = (tooLow + within) >>> 1
    const alerts = fixed(judged, scores[middle]!, refractoryMs).filter(Boolean).length
    if (alerts > budget) tooLow = middle
    else within = middle
  }
  return fixed(judged, scores[within] ?? 1, refractoryMs)
}

function fixed(judged: readonly Judged[], threshold: number, refractoryMs: number): boolean[] {
  const last = new Map<string, { readonly time: number; readonly surprisal: number }>()
  return judged.map(({ verdict: { userId, timestamp, anomalyScore } }) => {
    if (anomalyScore < threshold) return false
    const before = last.get(userId)
    const time = timestamp ?? 0
    const surprisal = surprisalOf(anomalyScore)
    if (before !== undefined && time - before.time < refractoryMs && surprisal < escalation * before.surprisal)
      return false
    last.set(userId, { time, surprisal })
    return true
  })
}
