import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '../../lib/errors.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { backtest } from '../../workloads/backtest/backtest.ts'
import { inputFiles } from '../../workloads/files/input-files.ts'
import { ewz } from './ewz.ts'
import { hindsightAlerts } from './hindsight-alerts.ts'
import type { Measurement } from './measurement.ts'
import { type AnomalyWindow, type CostMatrix, nabScore } from './nab.ts'

/** Rows after an alert in which the baseline is silent about the same series, as `discord` is. */
const refractoryRows = 120

/** First and last time of each anomaly window by file: `2014-04-10 07:15:00.000000`, UTC. */
type WindowTimes = Readonly<Record<string, readonly (readonly [string, string])[]>>
type Profiles = Readonly<Record<string, { readonly CostMatrix: CostMatrix }>>

interface Series {
  readonly times: number[]
  readonly alerts: number[]
  readonly baseline: number[]
}

/**
 * The Numenta Anomaly Benchmark: all series as the keys of one run, whose own decisions are scored. The baseline raises as
 * many alerts as the pipeline did, at the threshold that gives just so many.
 */
export async function measureNab(folder: string, pipeline: Pipeline): Promise<Measurement> {
  const windowTimes: WindowTimes = JSON.parse(readFileSync(join(folder, 'windows.json'), 'utf8'))
  const profiles: Profiles = JSON.parse(readFileSync(join(folder, 'profiles.json'), 'utf8'))
  const names = Object.keys(windowTimes)
  const paths = names.map((name) => join(folder, 'data', name))
  const absent = paths.filter((path) => !existsSync(path))
  if (absent.length > 0) throw new AppError('NotFound', `${absent.join(', ')}: named in windows.json, but absent`)
  const files = inputFiles(paths)

  const collection = new Map<string, Series>(
    files.map(({ source }) => [source, { times: [], alerts: [], baseline: [] }]),
  )
  const zScore = ewz()
  const { events, alerts } = await backtest({
    pipeline,
    files,
    onEvent({ record, event, verdict }) {
      const series = collection.get(record.source)!
      series.times.push(event.time)
      series.alerts.push(verdict.isAnomaly ? 1 : 0)
      series.baseline.push(zScore.score(record.source, [event.value]))
    },
  })

  const all = [...collection.values()]
  const windows = all.map(({ times }, at) => windowsOf(names[at]!, times, windowTimes[names[at]!]!))
  const decided = all.map((series, at) => ({ windows: windows[at]!, alerts: Uint8Array.from(series.alerts) }))
  const baseline = hindsightAlerts(
    all.map((series) => Float64Array.from(series.baseline)),
    { budget: alerts, refractoryRows },
  ).map((alerts, at) => ({ windows: windows[at]!, alerts }))

  return {
    collection: 'nab',
    scope: `NAB score of the decisions of one run, ${all.length} series, ${events} events, ${alerts} alerts`,
    figures: Object.entries(profiles).map(([name, { CostMatrix: costs }]) => ({
      name,
      pipeline: nabScore(decided, costs),
      baseline: nabScore(baseline, costs),
      digits: 1,
    })),
  }
}

function windowsOf(name: string, times: readonly number[], limits: WindowTimes[string]): AnomalyWindow[] {
  return limits.map((window) => {
    const [first, last] = window.map((limit) => times.indexOf(Date.parse(`${limit.replace(' ', 'T')}Z`)))
    if (first === -1 || last === -1)
      throw new AppError(
        'InvalidArgument',
        `${name}: no row at ${window.join(' or ')}, where windows.json has a window`,
      )
    return { first: first!, last: last! }
  })
}
