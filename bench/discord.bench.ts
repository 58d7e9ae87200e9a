import { Discord } from '../workloads/detection/discord.ts'
import type { Event } from '../workloads/detection/event.ts'
import { Evidence } from '../workloads/detection/evidence.ts'
import { normalSeries, seriesNatures } from '../workloads/detection/injected-anomalies.ts'
import { ewz } from './quality/ewz.ts'
import { spread } from './spread.ts'

/** Time of a point in `Discord`, against a plain exponentially weighted z-score of the same series in the same run. */

const rounds = 7
const keys = 16
const length = 5_000

const events = Array.from({ length: keys }, (_, key) =>
  normalSeries(seriesNatures[key % seriesNatures.length]!, length, key).map(
    (value): Event => ({ id: '', time: Number.NaN, key: '', value, features: [] }),
  ),
)
const evidence = new Evidence()

/** Microseconds a point; the keys take turns, as they do in a stream. */
function timed(observe: (key: number, event: Event) => number): number {
  let sum = 0
  const start = process.hrtime.bigint()
  for (let i = 0; i < length; i++) for (let k = 0; k < keys; k++) sum += observe(k, events[k]![i]!)
  const nanoseconds = Number(process.hrtime.bigint() - start)
  if (!Number.isFinite(sum)) throw new Error('Cannot use this run: a score is not finite')
  return nanoseconds / 1_000 / (keys * length)
}

function discordRound(): number {
  const discord = new Discord('discord')
  for (let k = 0; k < keys; k++) discord.reset(k)
  return timed((key, event) => {
    evidence.clear()
    return discord.observe(key, event, evidence)
  })
}

function baselineRound(): number {
  const baseline = ewz()
  const values = [0]
  return timed((key, { value }) => {
    values[0] = value
    return baseline.score(key, values)
  })
}

discordRound()
baselineRound()
const times = Array.from({ length: rounds }, () => ({ discord: discordRound(), baseline: baselineRound() }))
console.log(
  JSON.stringify({
    bench: 'discord',
    microsecondsPerPoint: spread(times.map(({ discord }) => discord)),
    baseline: 'exponentially weighted z',
    baselineMicrosecondsPerPoint: spread(times.map(({ baseline }) => baseline)),
    ratio: spread(times.map(({ discord, baseline }) => discord / baseline)),
    bytesPerKey: new Discord('discord').bytesPerKey,
  }),
)
