import { expect } from 'chai'
import type { Feedback } from '../detection/feedback.ts'
import { feedbackHeader, feedbackIn, feedbackRecord } from './feedback-record.ts'

const reason = { detector: 'profile', feature: 'value', observed: 5, expected: null, contribution: 1 }
const said = {
  eventId: 'e',
  label: 'FalseAlarm',
  time: 7,
  verdict: { userId: 'u', anomalyScore: 0.5, reasons: [reason] },
} as const

describe('feedbackRecord()', () => {
  const record = { ...feedbackRecord(said, 'events'), offset: 0, timestamp: 9 }

  it('carries what is learnt, with the key of the event', () => {
    expect(record).to.include({ topic: 'events', key: 'u' })
    const { label, verdict } = said
    const expected: Feedback = {
      eventId: 'e',
      key: 'u',
      secondaryKeys: [],
      label,
      time: 7,
      anomalyScore: 0.5,
      reasons: [...verdict.reasons],
    }
    expect(feedbackIn(record)).to.deep.equal(expected)
    expect(feedbackIn({ ...record, value: Buffer.from(record.value as string) })).to.deep.equal(expected)
  })

  it('names secondary keys as the verdict does, or as who speaks of it says', () => {
    const names = ['terminal', 'city', 'merchant']
    const secondaryKeysOf = (more: object, ofVerdict: object) => {
      const verdict = { ...said.verdict, secondaryKeys: { terminal: 't1', city: 'c1', ...ofVerdict } }
      const sent = { ...feedbackRecord({ ...said, ...more, verdict }, 'events'), offset: 0, timestamp: 9 }
      return (feedbackIn(sent, names) as Feedback).secondaryKeys
    }
    expect(secondaryKeysOf({}, {})).to.deep.equal(['t1', 'c1', ''])
    expect(secondaryKeysOf({ secondaryKeys: { city: 'c2' } }, { other: 'x' })).to.deep.equal(['t1', 'c2', ''])
  })

  it('is known by its header alone', () => {
    expect(feedbackIn({ ...record, headers: {} })).to.equal(undefined)
    expect(feedbackIn({ ...record, headers: undefined })).to.equal(undefined)
  })

  it('is refused with a reason where nothing can be learnt from it', () => {
    const headers = { [feedbackHeader]: 'x' }
    const refused = ['{', '7', '{}', '{"eventId":"e","label":"Confirmed"}', null].map((value) => {
      const read = feedbackIn({ ...record, headers, value })
      return read !== undefined && 'reason' in read && read.reason
    })
    expect(refused).to.deep.equal([
      'MalformedJson',
      'InvalidFeedback',
      'InvalidFeedback',
      'InvalidFeedback',
      'Tombstone',
    ])
  })
})
