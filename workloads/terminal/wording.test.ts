import { expect } from 'chai'
import type { Reason } from '../detection/verdict.ts'
import {
  briefReason,
  describeReason,
  formatColumn,
  formatDuration,
  formatNumber,
  formatScore,
  formatShare,
  formatTime,
} from './wording.ts'

describe('Wording', () => {
  it('keeps at least three digits of a number', () => {
    const read = [0, 42, 950, 0.01234, 125.5, 999.96, 12345.6, -7.125, 1.5e-7, 2e18, Number.NaN].map(formatNumber)
    expect(read).to.deep.equal([
      ...['0', '42', '950', '0.0123', '125.5', '1,000', '12,346', '-7.13', '1.5e-7', '2.0e18', '–'],
    ])
  })

  it('never rounds a score up to 1', () => {
    const read = [0, 0.5, 0.99, 0.999871, 0.99999996, 1 - 1e-14].map(formatScore)
    expect(read).to.deep.equal(['0', '0.50', '0.990', '0.99987', '0.999999960', '> 0.9999999999'])
  })

  it('gives a share in per cent with two digits', () => {
    const read = [0, 0.00001, 0.004, 0.075, 0.0996, 0.62, 1].map(formatShare)
    expect(read).to.deep.equal(['0 %', '< 0.01 %', '0.4 %', '7.5 %', '10 %', '62 %', '100 %'])
    expect(formatShare(Number.NaN)).to.equal('–')
  })

  it('aligns the numbers of a column', () => {
    expect(formatColumn([1123.14, 75.4, 85, Number.NaN])).to.deep.equal(['1,123.14', '75.40', '85.00', '–'])
    expect(formatColumn([1, 20, 300])).to.deep.equal(['1', '20', '300'])
    expect(formatColumn([0.0123, 0.05])).to.deep.equal(['0.0123', '0.0500'])
    expect(formatColumn([0, 1 / 3])).to.deep.equal(['0.000', '0.333'])
  })

  it('gives times in UTC and spans in a unit that fits', () => {
    expect(formatTime(1640000000000)).to.equal('2021-12-20 11:33:20')
    expect(formatTime(null)).to.equal('–')
    const read = [0.5, 1, 90, 150, 36 * 3600, 74 * 86_400, 6.1 * 31_557_600].map(formatDuration)
    expect(read).to.deep.equal([
      ...['0.5 seconds', '1 second', '90 seconds', '2.5 minutes', '36 hours', '74 days', '6.1 years'],
    ])
  })

  const reasons: [string, Reason][] = [
    [
      'amount 950 where 42 was expected (profile, 62 %)',
      { detector: 'profile', feature: 'amount', observed: 950, expected: 42, contribution: 0.62 },
    ],
    [
      'value 950 where 42 was expected (discord: spike, 100 %)',
      { detector: 'discord', feature: 'value', observed: 950, expected: 42, contribution: 1, shape: 'spike' },
    ],
    [
      'value 20 after values unlike any before (discord: pattern, 100 %)',
      { detector: 'discord', feature: 'value', observed: 20, expected: 20.0000004, contribution: 1, shape: 'pattern' },
    ],
    [
      'merchantRisk 0.93 (forest, 8.0 %)',
      { detector: 'forest', feature: 'merchantRisk', observed: 0.93, expected: null, contribution: 0.08 },
    ],
    [
      'merchantRisk missing where 0.1 was expected (forest, 40 %)',
      { detector: 'forest', feature: 'merchantRisk', observed: Number.NaN, expected: 0.1, contribution: 0.4 },
    ],
    [
      'value 125.5 is above 100 (rule limit)',
      { detector: 'rule', rule: 'limit', feature: 'value', observed: 125.5, expected: 100, contribution: 1 },
    ],
    [
      'value -3 is below 0 (rule floor)',
      { detector: 'rule', rule: 'floor', feature: 'value', observed: -3, expected: 0, contribution: 1 },
    ],
    [
      'country BR, seen in 0 of 214 (categories, 80 %)',
      { detector: 'categories', feature: 'country', category: 'BR', observed: 0, expected: 214, contribution: 0.8 },
    ],
  ]
  it('says the same in brief', () => {
    expect(reasons.map(([, reason]) => briefReason(reason))).to.deep.equal([
      'amount 950 (usual 42)',
      'value 950 (usual 42)',
      'value 20 after values unlike any before',
      'merchantRisk 0.93',
      'merchantRisk missing (usual 0.1)',
      'value 125.5 is above 100 (rule limit)',
      'value -3 is below 0 (rule floor)',
      'country BR, seen in 0 of 214',
    ])
  })

  for (const [words, reason] of reasons)
    it(`says "${words}"`, () => {
      expect(describeReason(reason)).to.equal(words)
    })
})
