import { expect } from 'chai'
import { Discord, type DiscordPart, discordParts } from './discord.ts'
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
const tailShape = { bins: 140, min: -5, width: 0.1, capacity: 16_000, priorShape: 0.35, priorCount: 20 }

/** The definition, step by step, with all history kept; for values whose unit is 1 and whose first three give it scale. */
function plainAnswers(values: readonly number[], times: readonly number[]) {
  const tails = [...scales, 'level'].map(() => ({ histogram: new TailHistogram(tailShape), counted: -100 }))
  const [least, origin, greatest] = values.slice(0, 3).sort((one, other) => one - other) as [number, number, number]
  const gap = Math.min(greatest - origin, origin - least)
  const raw = [0, 0, 0]
  const smoothed = [0, 0, 0]
  const usual = Array<number>(24).fill(0)
  let [mean, variance, s, p, run, row, share, longest, hour, most] = [0, gap ** 2, 0, gap, 0, 0, 0, 0, 0, 0]
  const within = (x: number, edge: number) => Math.max(-edge, Math.min(edge, x))
  const judged = (m: number, i: number, y: number) => {
    const { histogram, counted } = tails[m]!
    const component = histogram.excess(y)
    if (component > 7 && i - counted <= 10) return component
    if (component > 7) tails[m]!.counted = i
    histogram.add(y)
    return component
  }
  const means = Array<number | undefined>(24).fill(undefined)
  let sum: number[] = []
  let [follower, compared, typical, drift, record, off24] = [0, 0, 0, 0, 0, 0]
  const drifted = (ofDay: number, mean: number) => {
    const expected = means[ofDay]
    means[ofDay] = mean
    if (expected === undefined) return 0
    off24 = mean - expected
    let answer = 0
    if (typical > 0) {
      drift += 0.25 * (within(off24 / typical, 6) - drift)
      const edge = Math.max(1.5 * record, 1)
      if (compared >= 168 && Math.abs(drift) > edge) answer = 6 + 2.25 * Math.log(Math.abs(drift) / edge)
      record = Math.max(record * (1 - 1 / 2000), Math.abs(drift))
    }
    compared++
    const size = compared > 10 ? Math.min(Math.abs(off24), 4 * typical) : Math.abs(off24)
    typical += Math.max(1 / compared, 0.005) * (size - typical)
    means[ofDay] = expected + Math.max(1 / (1 + Math.ceil(compared / 24)), 0.15) * within(off24, 4 * typical)
    return answer
  }
  return values.map((value, i) => {
    if (i < 3) return { score: 0, shape: '', expected: 0 }
    const x = value - origin
    const weight = Math.max(1 / (i + 1), 1 / 20_000)
    const deviation = within(x - mean, Math.min(16, Math.sqrt(i)) * Math.sqrt(variance))
    mean += weight * deviation
    variance = (1 - weight) * (variance + weight * deviation ** 2)
    const repeats = i > 3 && x === raw.at(-1)!
    const before = share
    share += Math.max(1 / i, 1 / 20_000) * ((repeats ? 1 : 0) - share)
    if (!repeats) longest = Math.max(row, longest * (1 - 1 / 20_000))
    row = repeats ? row + 1 : 0
    const frozen =
      row >= 6 && before <= 0.1 && row > 1.5 * longest + 1 ? Math.min(12, -row * Math.log(Math.max(before, 1 / i))) : 0
    const former = s
    const off = x - s
    const ratio = Math.abs(off) / p
    p += Math.max(1 / i, 1 / 20_000) * (Math.min(Math.abs(off), Math.min(6, Math.sqrt(i)) * p) - p)
    run = Math.abs(off) > 3 * p ? run + 1 : 0
    s += 0.08 * (run > 0 && run <= 30 ? within(off, 3 * p) : off)
    raw.push(x)
    smoothed.push(s)
    const members: { component: number; shape: string; expected: number }[] = []
    scales.forEach((scale, m) => {
      if (i < 100) return
      const series = (scale.smoothed ? smoothed : raw).map(Math.fround)
      const memory: number[] = []
      for (let t = scale.every - 1; t < i; t += scale.every) memory.push(series[t]!)
      const ring = memory.slice(-512)
      let nearest = Number.POSITIVE_INFINITY
      let place = 0
      for (let newest = 3 * scale.apart; newest < ring.length; newest++) {
        const distances = [0, 1, 2, 3].map(
          (lag) => series[i - lag * scale.apart * scale.every]! - ring[newest - lag * scale.apart]!,
        )
        const distance = Math.sqrt(distances.reduce((total, difference) => total + difference ** 2, 0))
        if (distance < nearest) {
          nearest = distance
          place = newest
        }
      }
      let expected = origin + ring[place]!
      if (m === 0) {
        expected = origin + series[follower]!
        follower = memory.length - ring.length + place + 1
      }
      const component = judged(m, i, Math.min(9, Math.log(nearest / Math.sqrt(variance))))
      if (Math.abs(value - expected) < p) expected = value
      members.push({ component, shape: scale.shape, expected })
    })
    if (i >= 11) {
      const component = 0.55 * judged(3, i, Math.min(9, Math.log(ratio)))
      members.push({ component, shape: 'level', expected: origin + former })
    }
    members.push({ component: frozen, shape: 'frozen', expected: value })
    const [largest, second] = members.toSorted((one, other) => other.component - one.component)
    const ramp = Math.min(1, (i - 50) / 350)
    const score = i < 100 ? 0 : (ramp * (largest!.component + (largest!.component + second!.component) / 2)) / 2
    const now = Math.floor(times[i]! / 3_600_000)
    const trend =
      now > hour && sum.length > 0 ? drifted(hour % 24, sum.reduce((total, x) => total + x, 0) / sum.length) : 0
    if (now > hour) sum = []
    sum.push(x)
    if (now > hour) {
      usual[hour % 24]! += 0.1 * (most - usual[hour % 24]!)
      hour = now
      most = 0
    }
    most = Math.max(most, Math.min(score, 6.5))
    const around = Math.max(usual[(now + 23) % 24]!, usual[now % 24]!, usual[(now + 1) % 24]!)
    const answer = score - 0.75 * Math.min(score, around)
    if (trend > answer) return { score: trend, shape: 'trend', expected: value - off24 }
    return answer > 0
      ? { score: answer, shape: largest!.shape, expected: largest!.expected }
      : { score: 0, shape: '', expected: 0 }
  })
}

describe('Discord', () => {
  it('answers as its definition does, through every turn of its rings', () => {
    const values = normalSeries('season', 3_300, 1)
    // Multiples of a power of two around an origin of magnitude 1: nothing is rounded in another way.
    for (const [i, value] of values.entries()) values[i] = 1.5 + Math.round(64 * value) / 2 ** 14
    const times = values.map((_, i) => 1_700_000_000_000 + 300_000 * i)
    values.fill(values[3_100]!, 3_100, 3_200)
    values[2_000]! += 0.2
    for (let i = 2_500; i < 2_560; i++) values[i]! += 0.03
    for (let i = 2_700; i < 2_800; i++) values[i]! += ((i - 2_700) >> 2) / 2 ** 10
    const discord = discordOf()
    const evidence = new Evidence()
    const shapes = new Set<string>()
    plainAnswers(values, times).forEach((plain, i) => {
      evidence.clear()
      const score = discord.observe(0, { ...eventOf(values[i]!), time: times[i]! }, evidence)
      expect(score, `value ${i}`).to.be.closeTo(plain.score, 1e-4)
      shapes.add(evidence.shape)
      expect(evidence.count).to.equal(score > 0 ? 1 : 0)
      if (score < 1e-3) return
      expect(evidence.shape, `value ${i}`).to.equal(plain.shape)
      expect(evidence.field[0]).to.equal(valueField)
      expect(evidence.expected[0]).to.be.closeTo(plain.expected, 1e-6)
      expect(evidence.contribution[0]).to.equal(score)
    })
    expect([...shapes]).to.have.members(['', 'spike', 'pattern', 'level', 'frozen', 'trend'])
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
    for (let i = 0; i < values.length; i++) expect(shifted[i]).to.be.closeTo(scores[i]!, 1e-4)
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

  it('expects of a spike what followed a similar course, though such a value was seen after another', () => {
    const values = course(1_500).map((value) => 50 + value / 16)
    // Half-way up and down, so that the vector of the second spike lies nearest to one of the first.
    values.splice(1_300, 5, 80, 95, 110, 95, 80)
    values[1_450] = 110
    const discord = discordOf()
    const evidence = new Evidence()
    scoresOf(values.slice(0, 1_450), discord)
    discord.observe(0, eventOf(110), evidence)
    expect(evidence.shape).to.equal('spike')
    expect(evidence.expected[0]).to.be.closeTo(values[1_449]!, 2)
  })

  it('expects a value that is as usual, where those before it are strange', () => {
    const values = normalSeries('flat', 1_500, 9)
    const discord = discordOf()
    scoresOf([...values, 260], discord)
    const evidence = new Evidence()
    discord.observe(0, eventOf(231), evidence)
    expect([evidence.shape, evidence.expected[0]]).to.deep.equal(['spike', 231])
  })

  it('scores without any of its parts, which a measurement may leave out', () => {
    const values = [...normalSeries('season', 3_000, 3), ...injectedSeries('season', 'frozen', 3).values]
    values[1_200]! += 400
    for (let i = 2_500; i < 2_600; i++) values[i]! += (i - 2_500) / 4
    const scores = (without?: DiscordPart) => {
      const discord = new Discord('discord', { without })
      discord.reset(0)
      return values.map((value, i) => discord.observe(0, { ...eventOf(value), time: 300_000 * i }, new Evidence()))
    }
    const whole = scores()
    for (const without of discordParts) expect(scores(without), without).not.to.deep.equal(whole)
  })

  it('takes at most 8 KB a key', () => {
    expect(new Discord('discord').bytesPerKey).to.be.at.most(8_000)
  })

  it('refuses a slot that was never reset', () => {
    expect(() => discordOf(0).observe(64, eventOf(1), new Evidence())).to.throw(RangeError, 'slot 64')
  })
})

describe('Discord on injected anomalies', () => {
  /** Half an alert in a thousand values here. */
  const theta = 5
  const seeds = 6
  /** Of 24 anomalies of a kind: 6 in each nature of series. */
  const measured: Record<AnomalyKind, number> = {
    spike: 18,
    'short burst': 17,
    'level shift': 15,
    variance: 22,
    frozen: 18,
    reversed: 10,
    shuffled: 8,
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

describe('Discord, whatever comes', () => {
  it('is not blinded by one reading, whatever it is and whenever it comes', () => {
    for (const reading of [-9999, 32_767, 2_147_483_647, 1e39, 1e155, -Number.MAX_VALUE, Number.MIN_VALUE])
      for (const place of [0, 1, 2, 3, 40, 99, 250, 600]) {
        const values = normalSeries('season', 2_600, 5)
        values[place] = reading
        for (const [n, i] of [1_200, 1_600, 2_000, 2_400].entries()) values[i] = 420 + 40 * n
        const scores = scoresOf(values)
        for (const i of [1_200, 1_600, 2_000, 2_400])
          expect(scores[i], `${reading} at ${place}, ${i}`).to.be.greaterThan(5)
      }
  })

  it('alerts once on one blip in a constant, and still sees a smaller one', () => {
    for (const constant of [0, 5, -1e-18, 1e298])
      for (const size of [1, 1e-6, 1e6]) {
        const values = Array<number>(1_000).fill(constant)
        values[600] = constant === 0 ? size : constant * (1 + size)
        values[900] = constant === 0 ? size / 1_000 : constant * (1 + size / 1_000)
        const surprising = scoresOf(values).flatMap((score, i) => (score > 4 ? [i] : []))
        expect(surprising, `${constant}, ${size}`).to.include.members([600, 900])
        expect(surprising.filter((i) => i < 600)).to.deep.equal([])
        // The vectors that hold the blip are new as well, until the longest has passed it.
        expect(surprising.filter((i) => i > 700 && i < 900)).to.deep.equal([])
      }
  })

  it('does not change when values are measured in another unit', () => {
    const values = normalSeries('bursts', 1_500, 3)
    values[1_200]! += 100
    const scores = scoresOf(values)
    expect(Math.max(...scores)).to.be.greaterThan(5)
    for (const exponent of [-1000, -70, -60, -1, 10, 130, 500, 1000])
      expect(scoresOf(values.map((value) => value * 2 ** exponent)), `2^${exponent}`).to.deep.equal(scores)
  })

  it('finds a sensor that is frozen for six hours within a tenth of them', () => {
    for (const nature of ['season', 'walk', 'flat'] as const)
      for (let seed = 0; seed < 5; seed++) {
        const values = normalSeries(nature, 3_200, 50 + seed)
        values.fill(values[3_000]!, 3_000, 3_072)
        const scores = scoresOf(values)
        expect(Math.max(...scores.slice(3_000, 3_008)), `${nature} ${seed}`).to.be.greaterThan(5)
      }
  })

  it('finds a leak of 36 hours within a tenth of them, where one day is like another', () => {
    for (let seed = 0; seed < 5; seed++) {
      const discord = discordOf()
      const found = normalSeries('season', 4_000, 70 + seed).flatMap((value, i) => {
        const leak = (60 * Math.max(0, i - 3_500)) / 432
        const event = { ...eventOf(value - leak), time: 1_700_006_400_000 + 300_000 * i }
        const evidence = new Evidence()
        const score = discord.observe(0, event, evidence)
        return score >= 6 && evidence.shape === 'trend' ? [i] : []
      })
      expect(found[0], `seed ${seed}`).to.be.within(3_500, 3_543)
    }
  })

  it('takes what the key shows at the same hour every day for usual', () => {
    const discord = discordOf()
    const values = normalSeries('flat', 288 * 30, 8)
    const largest: number[] = []
    values.forEach((value, i) => {
      const isNight = i % 288 < 3
      const event = { ...eventOf(isNight ? value + 25 + (i % 7) : value), time: 1_700_006_400_000 + 300_000 * i }
      const score = discord.observe(0, event, new Evidence())
      const day = Math.floor(i / 288)
      largest[day] = Math.max(largest[day] ?? 0, score)
    })
    expect(Math.max(...largest.slice(3, 6))).to.be.greaterThan(7)
    expect(Math.max(...largest.slice(22))).to.be.lessThan(4)
    const afternoon = { ...eventOf(260), time: 1_700_006_400_000 + 300_000 * (288 * 30 + 144) }
    expect(discord.observe(0, afternoon, new Evidence())).to.be.greaterThan(4)
  })
})
