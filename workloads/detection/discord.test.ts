import { expect } from 'chai'
import { Discord } from './discord.ts'
import type { Event } from './event.ts'
import { Evidence, valueField } from './evidence.ts'
import { type AnomalyKind, anomalyKinds, injectedSeries, normalSeries, seriesNatures } from './injected-anomalies.ts'
import { TailHistogram } from './tail-histogram.ts'

function eventOf(value: number): Event {
  return { id: '', time: Number.NaN, key: '', value, features: [] }
}

function discordOf(slot = 0): Discord {
  const discord = new Discord('discord')
  discord.reset(slot)
  return discord
}

function scoresOf(values: readonly number[], discord = discordOf(), slot = 0): number[] {
  return values.map((value) => discord.observe(slot, eventOf(value), new Evidence()))
}

/** A daily course without noise that no two days repeat exactly. */
function course(length: number): number[] {
  return Array.from({ length }, (_, i) => Math.round(1024 * (Math.sin(i / 20) + 0.2 * Math.sin(i / 7.3))) / 64)
}

const scales = [
  { shape: 'spike', smoothed: false, every: 1, apart: 1 },
  { shape: 'pattern', smoothed: false, every: 4, apart: 2 },
  { shape: 'level', smoothed: true, every: 8, apart: 2 },
] as const

/** The definition, step by step, with all history kept. */
function plainAnswers(values: readonly number[]) {
  const histograms = scales.map(
    () => new TailHistogram({ bins: 140, min: -5, width: 0.1, capacity: 16_000, priorShape: 0.3, priorCount: 20 }),
  )
  const raw: number[] = []
  const smoothed: number[] = []
  let s = 0
  let mean = 0
  let variance = 0
  return values.map((value, i) => {
    const x = value - values[0]!
    const weight = Math.max(1 / (i + 1), 1 / 20_000)
    const deviation = x - mean
    mean += weight * deviation
    variance = (1 - weight) * (variance + weight * deviation ** 2)
    s += 0.08 * (x - s)
    raw.push(Math.fround(x))
    smoothed.push(Math.fround(s))
    let largest = { component: 0, shape: '', expected: 0 }
    let sum = 0
    scales.forEach((scale, k) => {
      if (i < 100) return
      const series = scale.smoothed ? smoothed : raw
      const memory: number[] = []
      for (let t = scale.every - 1; t < i; t += scale.every) memory.push(series[t]!)
      const ring = memory.slice(-512)
      let nearest = Number.POSITIVE_INFINITY
      let expected = 0
      for (let newest = 3 * scale.apart; newest < ring.length; newest++) {
        const distances = [0, 1, 2, 3].map(
          (lag) => series[i - lag * scale.apart * scale.every]! - ring[newest - lag * scale.apart]!,
        )
        const distance = Math.sqrt(distances.reduce((total, difference) => total + difference ** 2, 0))
        if (distance < nearest) {
          nearest = distance
          expected = values[0]! + ring[newest]!
        }
      }
      const y = Math.log(nearest / Math.sqrt(variance))
      const component = histograms[k]!.excess(y)
      histograms[k]!.add(y)
      sum += component
      if (component > largest.component) largest = { component, shape: scale.shape, expected }
    })
    const ramp = Math.min(1, (i - 50) / 350)
    return {
      score: (ramp * (largest.component + sum / 3)) / 2,
      shape: largest.shape,
      expected: largest.expected,
      contribution: ramp * largest.component,
    }
  })
}

describe('Discord', () => {
  it('answers as its definition does, through every turn of its rings', () => {
    const values = normalSeries('season', 5_500, 1)
    values.fill(values[5_200]!, 5_200, 5_300)
    values[3_000]! += 40
    // Where the newest values meet the oldest of the fast ring, at 1,023, they look like the end of the series.
    values.splice(511, 2, 50, 120)
    values.splice(1_020, 4, 50, 50, 50, 120)
    const discord = discordOf()
    const evidence = new Evidence()
    const shapes = new Set<string>()
    plainAnswers(values).forEach((plain, i) => {
      evidence.clear()
      const score = discord.observe(0, eventOf(values[i]!), evidence)
      expect(score, `value ${i}`).to.be.closeTo(plain.score, 1e-6)
      expect(evidence.shape, `value ${i}`).to.equal(plain.shape)
      shapes.add(plain.shape)
      expect(evidence.count).to.equal(score > 0 ? 1 : 0)
      if (score === 0) return
      expect(evidence.field[0]).to.equal(valueField)
      expect(evidence.expected[0]).to.be.closeTo(plain.expected, 1e-5)
      expect(evidence.contribution[0]).to.be.closeTo(plain.contribution, 1e-6)
    })
    expect([...shapes]).to.have.members(['', 'spike', 'pattern', 'level'])
  })

  it('scores a spike above everything before it', () => {
    const values = normalSeries('season', 2_001, 2)
    values[2_000] = Math.max(...values) + 20
    const scores = scoresOf(values)
    expect(scores[2_000]).to.be.greaterThan(Math.max(...scores.slice(0, 2_000)))
  })

  it('calls a lasting small shift of a noisy series a level', () => {
    const values = normalSeries('flat', 3_000, 3)
    const discord = discordOf()
    scoresOf(values, discord)
    const shapes = normalSeries('flat', 100, 4).map((value) => {
      const evidence = new Evidence()
      const score = discord.observe(0, eventOf(value + 1.5), evidence)
      return score > 4 ? evidence.shape : ''
    })
    expect(shapes).to.include('level')
  })

  it('has nothing to say of the first hundred values', () => {
    const values = normalSeries('flat', 100, 5)
    values[99] = 1_000
    expect(scoresOf(values).every((score) => score === 0)).to.equal(true)
  })

  it('neither scores nor learns a missing value', () => {
    const values = normalSeries('walk', 1_500, 6)
    const gaps = values.flatMap((value, i) => (i % 3 === 0 ? [Number.NaN, value] : [value, Number.POSITIVE_INFINITY]))
    const scores = scoresOf(gaps)
    expect(scores.filter((_, i) => Number.isFinite(gaps[i]))).to.deep.equal(scoresOf(values))
    expect(scores.filter((_, i) => !Number.isFinite(gaps[i])).every((score) => score === 0)).to.equal(true)
  })

  it('does not care for the unit or the origin, even far beyond single precision', () => {
    const values = course(1_500)
    values[1_200]! += 10
    const scores = scoresOf(values)
    expect(scores[1_200]).to.be.greaterThan(4)
    expect(scoresOf(values.map((value) => 1_024 * value))).to.deep.equal(scores)
    const shifted = scoresOf(values.map((value) => value + 2 ** 40))
    for (let i = 0; i < values.length; i++) expect(shifted[i]).to.be.closeTo(scores[i]!, 1e-6)
  })

  it('is silent on a constant and loud when it changes', () => {
    const discord = discordOf()
    expect(scoresOf(Array(1_000).fill(42), discord).every((score) => score === 0)).to.equal(true)
    expect(scoresOf([42.001], discord)[0]).to.be.greaterThan(10)
  })

  it('stays finite after the largest numbers there are', () => {
    const values = normalSeries('flat', 2_000, 7)
    values[500] = Number.MAX_VALUE
    values[501] = -Number.MAX_VALUE
    values[502] = Number.MIN_VALUE
    const scores = scoresOf(values)
    for (const score of scores) expect(score).to.be.finite.and.to.be.at.least(0)
    expect(scores[500]).to.be.greaterThan(10)
  })

  it('keeps keys apart, on one page and on others, and starts anew on reset', () => {
    const slots = [0, 1, 63, 64, 200]
    const discord = new Discord('discord')
    for (const slot of slots) discord.reset(slot)
    const series = slots.map((slot) => normalSeries('bursts', 800, slot))
    const scores: number[][] = slots.map(() => [])
    for (let i = 0; i < 800; i++) {
      for (const [k, slot] of slots.entries()) {
        scores[k]!.push(discord.observe(slot, eventOf(series[k]![i]!), new Evidence()))
      }
    }
    expect(scores).to.deep.equal(series.map((values) => scoresOf(values)))
    discord.reset(63)
    expect(scoresOf(series[4]!, discord, 63)).to.deep.equal(scores[4])
  })

  it('goes on after save and load as if nothing had happened', () => {
    const values = normalSeries('season', 6_000, 8)
    const discord = discordOf()
    const whole = scoresOf(values)
    scoresOf(values.slice(0, 4_321), discord)
    const saved = new DataView(new ArrayBuffer(discord.bytesPerKey + 5))
    discord.save(0, saved, 5)
    const other = discordOf(70)
    other.load(70, saved, 5)
    expect(scoresOf(values.slice(4_321), other, 70)).to.deep.equal(whole.slice(4_321))
  })

  it('expects exactly 0 where the nearest value was 0, whatever single precision made of it', () => {
    const discord = discordOf()
    const evidence = new Evidence()
    scoresOf([1.0375, ...Array<number>(600).fill(0)], discord)
    discord.observe(0, eventOf(5), evidence)
    expect([evidence.count, evidence.observed[0], evidence.expected[0]]).to.deep.equal([1, 5, 0])
  })

  it('takes at most 8 KB a key', () => {
    expect(new Discord('discord').bytesPerKey).to.be.at.most(8_000)
  })

  it('refuses a slot that was never reset', () => {
    expect(() => discordOf(0).observe(64, eventOf(1), new Evidence())).to.throw(RangeError, 'slot 64')
  })
})

describe('Discord on injected anomalies', () => {
  /** One alert in a thousand values of real series. */
  const theta = 4.56
  const seeds = 6
  /** Of 24 anomalies of a kind: 6 in each nature of series. */
  const measured: Record<AnomalyKind, number> = {
    spike: 17,
    'short burst': 17,
    'level shift': 13,
    variance: 21,
    frozen: 4,
    reversed: 9,
    shuffled: 9,
  }
  const margin = 3
  const falseAlertsPerThousand = 0.5

  it('finds as many of each kind as it did, with as few false alerts', () => {
    let falseAlerts = 0
    let length = 0
    anomalyKinds.forEach((kind, k) => {
      let found = 0
      for (const nature of seriesNatures) {
        for (let seed = 0; seed < seeds; seed++) {
          const { values, first, last } = injectedSeries(nature, kind, 100 * seed + k)
          const alerts = alertsOf(scoresOf(values))
          // The smoothed scale may notice the end.
          const hits = alerts.filter((i) => i >= first && i <= last + 24)
          if (hits.length > 0) found++
          falseAlerts += alerts.length - hits.length
          length += values.length
        }
      }
      expect(found, kind).to.be.at.least(measured[kind] - margin)
    })
    expect((1_000 * falseAlerts) / length).to.be.at.most(falseAlertsPerThousand)
  })

  /** Refractory for 120 values, unless the score is half again that of the alert. */
  function alertsOf(scores: readonly number[]): number[] {
    const alerts: number[] = []
    scores.forEach((score, i) => {
      const former = alerts.at(-1)
      if (score < theta) return
      if (former === undefined || i - former > 120 || score >= 1.5 * scores[former]!) alerts.push(i)
    })
    return alerts
  }
})
