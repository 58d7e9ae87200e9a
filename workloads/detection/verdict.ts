import type { Shape } from './evidence.ts'

/** Why an event scored as it did. */
export interface Reason {
  /** Name of the detector; "rule" for a limit that a person wrote. */
  readonly detector: string
  /** Name of the rule that was hit. */
  readonly rule?: string
  /** value, interval (seconds since the key's last event), missing features (their number), mean(features) or the name of a feature. */
  readonly feature: string
  readonly observed: number | null
  /** What was expected instead, or the rule's limit; null where the detector cannot say. */
  readonly expected: number | null
  /** Share of the verdict that this reason explains, 0 to 1. */
  readonly contribution: number
  readonly shape?: Exclude<Shape, ''>
}

/** Why an event with a high score was not called an anomaly. */
export const suppressions = ['Learning', 'Refractory', 'Budget'] as const
export type Suppression = (typeof suppressions)[number]

/** What a verdict had to do without. */
export const degradations = ['ModelUnavailable', 'StateUnavailable'] as const
export type Degradation = (typeof degradations)[number]

/** What is published for an event. */
export interface Verdict {
  readonly eventId: string
  /** The event's key. */
  readonly userId: string
  /** Milliseconds since 1970; null where the event has no time. */
  readonly timestamp: number | null
  readonly isAnomaly: boolean
  /** 1 - tail probability, in [0, 1). */
  readonly anomalyScore: number
  /** The anomaly score from which on an event was called an anomaly at that moment. */
  readonly threshold: number
  /** How much of what a verdict rests on was there, 0 to 1: history of the key, fields of the event, a model. */
  readonly confidence: number
  /** Version of the model; LEARNING before there is one, NONE where the pipeline has no detector with a model. */
  readonly modelVersion: string
  /** Strongest first; one for an ordinary event, up to three for a suspicious one. */
  readonly reasons: readonly Reason[]
  readonly suppressedBy?: Suppression
  readonly degraded?: Degradation
  /** Anomaly score by detector. */
  readonly scores: Readonly<Record<string, number>>
}

/**
 * The verdict as JSON text. Written by hand: a verdict is written for every event, and JSON.stringify costs four times
 * as much.
 *
 * @param inferenceTimeMs time from reading the event to its verdict; left out where output must be reproducible
 */
export function verdictJson(verdict: Verdict, inferenceTimeMs?: number): string {
  let importance = ''
  let reasons = ''
  for (const reason of verdict.reasons) {
    const feature = jsonString(reason.feature)
    if (importance === '') importance = `${feature}:${sixDecimals(importanceOf(verdict.reasons, reason.feature))}`
    else if (!importance.includes(`${feature}:`))
      importance += `,${feature}:${sixDecimals(importanceOf(verdict.reasons, reason.feature))}`
    reasons += `${reasons === '' ? '' : ','}{"detector":"${reason.detector}"${reason.rule === undefined ? '' : `,"rule":"${reason.rule}"`},"feature":${feature},"observed":${numberJson(reason.observed)},"expected":${numberJson(reason.expected)},"contribution":${sixDecimals(reason.contribution)}${reason.shape === undefined ? '' : `,"shape":"${reason.shape}"`}}`
  }
  let scores = ''
  for (const [name, score] of Object.entries(verdict.scores))
    scores += `${scores === '' ? '"' : ',"'}${name}":${sixDecimals(score)}`
  return `{"eventId":${jsonString(verdict.eventId)},"userId":${jsonString(verdict.userId)},"timestamp":${timeJson(verdict.timestamp)},"isAnomaly":${verdict.isAnomaly},"anomalyScore":${verdict.anomalyScore},"threshold":${verdict.threshold},"confidence":${sixDecimals(verdict.confidence)},"modelVersion":"${verdict.modelVersion}"${inferenceTimeMs === undefined ? '' : `,"inferenceTimeMs":${sixDecimals(inferenceTimeMs)}`},"featureImportance":{${importance}},"reasons":[${reasons}]${verdict.suppressedBy === undefined ? '' : `,"suppressedBy":"${verdict.suppressedBy}"`}${verdict.degraded === undefined ? '' : `,"degraded":"${verdict.degraded}"`},"scores":{${scores}}}`
}

function importanceOf(reasons: readonly Reason[], feature: string): number {
  let sum = 0
  for (const reason of reasons) if (reason.feature === feature) sum += reason.contribution
  return sum
}

function jsonString(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 32 || unit > 126 || unit === 34 || unit === 92) return JSON.stringify(text)
  }
  return `"${text}"`
}

// The shortest text of a double takes V8 a fifth of a microsecond. Numbers of few decimals are put together from these.
const digits = Array.from({ length: 1000 }, (_, n) => String(n).padStart(3, '0'))
const digitsAtEnd = digits.map((three) => three.replace(/0+$/, ''))

/** String(x) of x rounded to six decimals. */
function sixDecimals(x: number): string {
  const millionths = Math.round(x * 1e6)
  if (!(millionths > 0 && millionths < 1e6)) return String(millionths / 1e6)
  const high = Math.floor(millionths / 1000)
  const low = millionths - 1000 * high
  return low === 0 ? `0.${digitsAtEnd[high]}` : `0.${digits[high]}${digitsAtEnd[low]}`
}

/** Six significant digits are plenty for a reader. */
function numberJson(x: number | null): string {
  if (x === null || !Number.isFinite(x)) return 'null'
  const size = Math.abs(x)
  if (size >= 1e6 || (size < 0.1 && size > 0)) return String(Number(x.toPrecision(6)))
  const parts = Math.round(x * 1e5)
  const whole = Math.floor(Math.abs(parts) / 1e5)
  const rest = Math.abs(parts) - 1e5 * whole
  const sign = parts < 0 ? '-' : ''
  if (rest === 0) return `${sign}${whole}`
  const high = Math.floor(rest / 100)
  const low = 10 * (rest - 100 * high)
  return low === 0 ? `${sign}${whole}.${digitsAtEnd[high]}` : `${sign}${whole}.${digits[high]}${digitsAtEnd[low]}`
}

function timeJson(time: number | null): string {
  if (time === null || !(time >= 1e6 && time < 1e15) || time % 1 !== 0) return String(time)
  const millions = Math.floor(time / 1e6)
  const rest = time - 1e6 * millions
  const thousands = Math.floor(rest / 1000)
  return `${millions}${digits[thousands]}${digits[rest - 1000 * thousands]}`
}
