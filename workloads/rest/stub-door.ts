import type { EventMapping } from '../../lib/pipeline/spec.ts'
import type { Event } from '../detection/event.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { createMemorySaid, type SaidStore } from '../state/said.ts'
import { createDecode, type Decoded, futureTolerance, isEvent, isRejection } from '../wire/decode.ts'
import type { FeedbackBody } from '../wire/feedback-record.ts'
import { verdictJson } from '../wire/verdict-bytes.ts'
import type { DetectionDoor, DetectOptions, DetectOutcome, EventBody, Health } from './door.ts'

/** A door for tests of what is before a door: reads events as every door does, then calls each above 100 an anomaly. */
export interface StubDoor extends DetectionDoor {
  feedback: DetectionDoor['feedback']
  said: DetectionDoor['said']
  /** The feedback that came. */
  readonly taken: FeedbackBody[]
  /** What `said` lists. */
  readonly learnt: SaidStore
  /** What `health` answers. */
  state: Health
  /** Called first by `detect`, to fail, to wait, or to look at the options. */
  before: (options: DetectOptions | undefined) => Promise<void> | void
}

/** Events as a door takes them. */
export function eventBodies(...values: readonly unknown[]): readonly EventBody[] {
  return values.map((value) => ({ text: JSON.stringify(value), value }))
}

export function createStubDoor(mapping: EventMapping): StubDoor {
  const schema = new FeatureSchema()
  const decode = createDecode(mapping, schema)
  const learnt = createMemorySaid()
  const verdicts = new Map<string, string>()
  let unnamed = 0

  function read({ text, value }: EventBody): Decoded {
    const arrival = Date.now()
    const latest = arrival + futureTolerance
    const origin = { id: `stub-${unnamed}`, source: 'stub', recordKey: undefined, arrival, latest }
    const decoded = decode(value, origin, text)
    if (!('unknown' in decoded)) return decoded
    for (const name of decoded.unknown) schema.append(name)
    return decode(value, origin, text)
  }

  function answer(body: EventBody): DetectOutcome {
    const decoded = read(body)
    if (isRejection(decoded)) return { kind: 'rejected', ...decoded }
    if (!isEvent(decoded)) throw new Error('features that were appended are unknown')
    unnamed++
    const known = verdicts.get(decoded.id)
    const json = known ?? judge(decoded)
    verdicts.set(decoded.id, json)
    return { kind: 'verdict', json, replayed: known !== undefined }
  }

  return {
    state: { status: 'UP', components: { model: { status: 'UP' } }, modelVersion: 'm1' },
    before: () => {},
    async detect(bodies, options) {
      await this.before(options)
      return bodies.map(answer)
    },
    async result(eventId) {
      return verdicts.get(eventId)
    },
    learnt,
    said: learnt.list,
    async feedback(said) {
      this.taken.push(said)
      return said.verdict !== undefined || verdicts.has(said.eventId)
    },
    taken: [],
    health() {
      return this.state
    },
  }
}

/** One verdict with every optional member, one without. */
function judge(event: Event): string {
  const above = event.value > 100
  const reason = { detector: 'profile', feature: 'value', observed: event.value, expected: null, contribution: 0.5 }
  const base = { eventId: event.id, userId: event.key, timestamp: event.time, threshold: 0.999, confidence: 0.5 }
  const plain = { ...base, isAnomaly: above, anomalyScore: 0.25, modelVersion: 'm1', reasons: [reason], scores: {} }
  if (!above) return verdictJson(plain, 0.125)
  const rule = { ...reason, detector: 'rule', rule: 'limit', expected: 100, shape: 'spike' } as const
  const more = { suppressedBy: 'Refractory', degraded: 'ModelUnavailable' } as const
  return verdictJson({ ...plain, ...more, anomalyScore: 0.9995, reasons: [rule, reason], scores: { profile: 0.5 } }, 1)
}
