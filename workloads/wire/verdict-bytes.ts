import type { EventReference, Reason, Verdict } from '../detection/verdict.ts'
import { ascii, JsonBytes } from './json-bytes.ts'

const key = {
  eventId: ascii('{"eventId":'),
  userId: ascii(',"userId":'),
  secondaryKeys: ascii(',"secondaryKeys":{'),
  timestamp: ascii(',"timestamp":'),
  isAnomaly: { true: ascii(',"isAnomaly":true'), false: ascii(',"isAnomaly":false') },
  anomalyScore: ascii(',"anomalyScore":'),
  threshold: ascii(',"threshold":'),
  confidence: ascii(',"confidence":'),
  modelVersion: ascii(',"modelVersion":"'),
  inferenceTimeMs: ascii('","inferenceTimeMs":'),
  featureImportance: { afterText: ascii('","featureImportance":{'), afterNumber: ascii(',"featureImportance":{') },
  reasons: ascii('},"reasons":['),
  detector: ascii('{"detector":"'),
  rule: ascii('","rule":"'),
  feature: ascii('","feature":'),
  category: ascii(',"category":'),
  observed: ascii(',"observed":'),
  expected: ascii(',"expected":'),
  contribution: ascii(',"contribution":'),
  shape: ascii(',"shape":"'),
  agreeing: ascii(',"agreeing":["'),
  suppressedBy: ascii(',"suppressedBy":"'),
  degraded: ascii(',"degraded":"'),
  scores: ascii(',"scores":{'),
  value: ascii(',"value":'),
  partition: ascii(',"partition":'),
  offset: ascii(',"offset":'),
} as const
const colon = ascii(':')
const comma = ascii(',')
const quote = ascii('"')
const endOfText = ascii('":')
const endOfList = ascii(']')
const endOfWords = ascii('"]')
const endOfObject = ascii('}')

const json = new JsonBytes()

/**
 * The verdict as JSON text. Written by hand: a verdict is written for every event, and JSON.stringify costs many times
 * as much.
 *
 * @param inferenceTimeMs time from reading the event to its verdict; left out where output must be reproducible
 * @param reference what leads back to its event; the verdict's own if absent
 */
export function verdictJson(verdict: Verdict, inferenceTimeMs?: number, reference?: EventReference): string {
  write(verdict, inferenceTimeMs, reference)
  return json.toString()
}

/** The same as bytes, for a process that only sends them. */
export function verdictBytes(verdict: Verdict, inferenceTimeMs?: number, reference?: EventReference): Buffer {
  write(verdict, inferenceTimeMs, reference)
  return json.take()
}

/** A verdict that is JSON already, with what leads back to its event. */
export function withReference(verdict: string, reference: EventReference): string {
  json.clear()
  writeReference(reference)
  json.raw(endOfObject)
  return verdict.slice(0, -1) + json.toString()
}

function write(verdict: Verdict, inferenceTimeMs: number | undefined, reference: EventReference = verdict): void {
  json.clear()
  json.raw(key.eventId)
  json.text(verdict.eventId)
  json.raw(key.userId)
  json.text(verdict.userId)
  if (verdict.secondaryKeys !== undefined) writeTexts(verdict.secondaryKeys)
  json.raw(key.timestamp)
  json.time(verdict.timestamp)
  json.raw(verdict.isAnomaly ? key.isAnomaly.true : key.isAnomaly.false)
  json.raw(key.anomalyScore)
  json.plain(String(verdict.anomalyScore))
  json.raw(key.threshold)
  json.plain(String(verdict.threshold))
  json.raw(key.confidence)
  json.sixDecimals(verdict.confidence)
  json.raw(key.modelVersion)
  json.plain(verdict.modelVersion)
  if (inferenceTimeMs === undefined) json.raw(key.featureImportance.afterText)
  else {
    json.raw(key.inferenceTimeMs)
    json.sixDecimals(inferenceTimeMs)
    json.raw(key.featureImportance.afterNumber)
  }
  const { reasons } = verdict
  for (let r = 0; r < reasons.length; r++) writeImportance(reasons, r)
  json.raw(key.reasons)
  for (let r = 0; r < reasons.length; r++) {
    if (r > 0) json.raw(comma)
    writeReason(reasons[r]!)
  }
  json.raw(endOfList)
  if (verdict.suppressedBy !== undefined) writeWord(key.suppressedBy, verdict.suppressedBy)
  if (verdict.degraded !== undefined) writeWord(key.degraded, verdict.degraded)
  json.raw(key.scores)
  let isFirst = true
  for (const [name, score] of Object.entries(verdict.scores)) {
    if (!isFirst) json.raw(comma)
    isFirst = false
    json.raw(quote)
    json.plain(name)
    json.raw(endOfText)
    json.sixDecimals(score)
  }
  json.raw(endOfObject)
  writeReference(reference)
  json.raw(endOfObject)
}

/** Numbers as exact as the event has them. */
function writeReference({ value, partition, offset }: EventReference): void {
  if (value !== undefined) writeNumber(key.value, value)
  if (partition !== undefined) writeNumber(key.partition, partition)
  if (offset !== undefined) writeNumber(key.offset, offset)
}

function writeNumber(key: Uint8Array, number: number): void {
  json.raw(key)
  json.plain(String(number))
}

function writeTexts(texts: Readonly<Record<string, string>>): void {
  json.raw(key.secondaryKeys)
  let isFirst = true
  for (const [name, text] of Object.entries(texts)) {
    if (!isFirst) json.raw(comma)
    isFirst = false
    json.text(name)
    json.raw(colon)
    json.text(text)
  }
  json.raw(endOfObject)
}

function writeReason(reason: Reason): void {
  const { detector, rule, feature, category, observed, expected, contribution, shape, agreeing } = reason
  json.raw(key.detector)
  json.plain(detector)
  if (rule !== undefined) {
    json.raw(key.rule)
    json.plain(rule)
  }
  json.raw(key.feature)
  json.text(feature)
  if (category !== undefined) {
    json.raw(key.category)
    json.text(category)
  }
  json.raw(key.observed)
  json.number(observed)
  json.raw(key.expected)
  json.number(expected)
  json.raw(key.contribution)
  json.sixDecimals(contribution)
  if (shape !== undefined) writeWord(key.shape, shape)
  if (agreeing !== undefined) {
    json.raw(key.agreeing)
    json.plain(agreeing.join('","'))
    json.raw(endOfWords)
  }
  json.raw(endOfObject)
}

function writeWord(key: Uint8Array, word: string): void {
  json.raw(key)
  json.plain(word)
  json.raw(quote)
}

/** The importance of the reason's feature, summed over all reasons; nothing where an earlier reason names it too. */
function writeImportance(reasons: readonly Reason[], r: number): void {
  const { feature } = reasons[r]!
  for (let earlier = 0; earlier < r; earlier++) if (reasons[earlier]!.feature === feature) return
  let sum = 0
  for (let i = r; i < reasons.length; i++) if (reasons[i]!.feature === feature) sum += reasons[i]!.contribution
  if (r > 0) json.raw(comma)
  json.text(feature)
  json.raw(colon)
  json.sixDecimals(sum)
}
