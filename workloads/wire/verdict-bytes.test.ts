import { expect } from 'chai'
import type { Verdict } from '../detection/verdict.ts'
import { verdictBytes, verdictJson, withReference } from './verdict-bytes.ts'

const verdict: Verdict = {
  eventId: 'e-1',
  userId: 'u-1',
  timestamp: 1640000000000,
  isAnomaly: true,
  anomalyScore: 0.9999,
  threshold: 0.999,
  confidence: 0.5,
  modelVersion: 'forest-5000-0a0b0c0d',
  reasons: [
    { detector: 'profile', feature: 'value', observed: 950, expected: 42.123456789, contribution: 0.6 },
    { detector: 'forest', feature: 'value', observed: 950, expected: null, contribution: 0.3, shape: 'spike' },
    { detector: 'profile', feature: 'x', observed: 1, expected: 2, contribution: 0.1, agreeing: ['forest', 'other'] },
  ],
  suppressedBy: 'Budget',
  degraded: 'ModelUnavailable',
  scores: { profile: 0.9995, forest: 0.98 },
}

describe('verdictBytes()', () => {
  it('writes the text of verdictJson(), each in bytes of its own', () => {
    const verdicts = ['e-1', 'ü', '😀'.repeat(70_000), ''].map((eventId) => ({ ...verdict, eventId }))
    const written = verdicts.map((one) => verdictBytes(one, 1.5))
    expect(written.map(String)).to.deep.equal(verdicts.map((one) => verdictJson(one, 1.5)))
  })
})

describe('verdictJson()', () => {
  it('writes what JSON.stringify would, times and shares rounded, importance summed by feature', () => {
    expect(JSON.parse(verdictJson(verdict, 1.23456789))).to.deep.equal({
      ...verdict,
      inferenceTimeMs: 1.234568,
      featureImportance: { value: 0.9, x: 0.1 },
      reasons: [{ ...verdict.reasons[0], expected: 42.12346 }, ...verdict.reasons.slice(1)],
    })
  })

  it('leads back to the event, by numbers as exact as they came', () => {
    const reference = { value: -1234567.8912345, partition: 0, offset: 2 ** 53 - 1 }
    const written = verdictJson({ ...verdict, ...reference }, 1)
    expect(JSON.parse(written)).to.deep.include(reference)
    expect(withReference(verdictJson(verdict, 1), reference)).to.equal(written)
    expect(withReference(verdictJson(verdict, 1), {})).to.equal(verdictJson(verdict, 1))
  })

  it('leaves out what is not there', () => {
    const { suppressedBy: _, degraded: __, ...plain } = verdict
    const parsed = JSON.parse(verdictJson({ ...plain, timestamp: null, reasons: [], scores: {} }))
    expect(parsed).to.deep.equal({ ...plain, timestamp: null, reasons: [], scores: {}, featureImportance: {} })
  })

  it('names the secondary keys of the event', () => {
    const secondaryKeys = { terminalId: 't "1"', 'ü.x': '' }
    expect(JSON.parse(verdictJson({ ...verdict, secondaryKeys }))).to.deep.include({ secondaryKeys })
    expect(JSON.parse(verdictJson({ ...verdict, secondaryKeys: {} }))).to.deep.include({ secondaryKeys: {} })
  })

  it('survives ids, keys and features that need escaping', () => {
    for (const text of ['"', '\\', '\n', '\u0000', 'ü', '\ud800', '😀', '</script>']) {
      const reasons = [{ detector: 'profile', feature: text, observed: 1, expected: 2, contribution: 1 }]
      const parsed = JSON.parse(verdictJson({ ...verdict, eventId: text, userId: text, reasons }))
      expect(parsed).to.deep.include({ eventId: text, userId: text, featureImportance: { [text]: 1 } })
    }
  })

  it('never writes what JSON cannot hold', () => {
    const reasons = [
      { detector: 'profile', feature: 'x', observed: Number.NaN, expected: Number.POSITIVE_INFINITY, contribution: 1 },
    ]
    expect(JSON.parse(verdictJson({ ...verdict, reasons })).reasons[0]).to.include({ observed: null, expected: null })
  })
})
