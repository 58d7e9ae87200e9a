import { loadTime, storeTime } from './slot-pages.ts'

const dayMs = 86_400_000
/** A confirmed anomaly counts for days, the number of events as it was over weeks: `node bench/quality/quality.ts --only transactions`. */
const anomaliesMs = 3 * dayMs
const eventsMs = 14 * dayMs
/** Events without an anomaly that one is weighed against beforehand. */
const prior = 1

/** Numbers of a risk: events and confirmed anomalies, both faded, and the time to which they are, in two halves. */
export const riskWidth = 4
const atEvents = 0
const atAnomalies = 1
const atTime = 2

/**
 * The share of confirmed anomalies among the events of a key, 0 to 1: their faded number over that of the events in the
 * same time. Both are sums, also over partitions. Anomalies are confirmed late, when other events come: so they are at most as many as the events.
 */
export function riskOf(anomalies: number, events: number): number {
  if (anomalies === 0) return 0
  return anomalies / (Math.max(anomalies, (events * anomaliesMs) / eventsMs) + prior)
}

/** Events, faded to the time. */
export function eventsAt(risk: Float32Array, at: number, time: number): number {
  return risk[at + atEvents]! * fading(risk, at, time, eventsMs)
}

/** Confirmed anomalies, faded to the time. */
export function anomaliesAt(risk: Float32Array, at: number, time: number): number {
  const anomalies = risk[at + atAnomalies]!
  return anomalies === 0 ? 0 : anomalies * fading(risk, at, time, anomaliesMs)
}

/** Adds what was counted elsewhere, both faded to the later of their times: so the order of parts does not matter. */
export function addRisk(sum: Float32Array, part: Float32Array): void {
  fadeTo(sum, 0, loadedTime(part, 0))
  const time = loadedTime(sum, 0)
  sum[atEvents]! += eventsAt(part, 0, time)
  sum[atAnomalies]! += anomaliesAt(part, 0, time)
}

export function countEvent(risk: Float32Array, at: number, time: number): void {
  fadeTo(risk, at, time)
  risk[at + atEvents]! += 1
}

/** Counts an anomaly that was confirmed at the time. */
export function countAnomaly(risk: Float32Array, at: number, time: number): void {
  fadeTo(risk, at, time)
  risk[at + atAnomalies]! += 1
}

/** Takes back one that was counted at the time. */
export function uncountAnomaly(risk: Float32Array, at: number, time: number): void {
  const ago = loadedTime(risk, at) - time
  const left = Number.isNaN(ago) ? 1 : Math.exp(-Math.max(0, ago) / anomaliesMs)
  const anomalies = risk[at + atAnomalies]! - left
  // What rounding leaves of none is none.
  risk[at + atAnomalies] = anomalies < 1e-3 ? 0 : anomalies
}

function fadeTo(risk: Float32Array, at: number, time: number): void {
  if (!(time > loadedTime(risk, at))) return
  risk[at + atEvents]! *= fading(risk, at, time, eventsMs)
  if (risk[at + atAnomalies] !== 0) risk[at + atAnomalies]! *= fading(risk, at, time, anomaliesMs)
  storeTime(risk, at + atTime, time)
}

/** What is left of one at the time; all of it where there is none. */
function fading(risk: Float32Array, at: number, time: number, decayMs: number): number {
  const ms = time - loadedTime(risk, at)
  return ms > 0 ? Math.exp(-ms / decayMs) : 1
}

const loadedTime = (risk: Float32Array, at: number): number => loadTime(risk, at + atTime)
