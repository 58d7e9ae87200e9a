import { globSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '../../lib/errors.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { backtest } from '../../workloads/backtest/backtest.ts'
import { inputFiles } from '../../workloads/files/input-files.ts'
import { ewz } from './ewz.ts'
import { hindsightAlerts } from './hindsight-alerts.ts'
import type { Measurement } from './measurement.ts'
import { foundSegments, segmentsOf } from './segments.ts'

/** Rows after an alert in which the baseline is silent about the same series, as `discord` is. */
const refractoryRows = 120

interface Series {
  readonly labels: number[]
  readonly alerts: number[]
  readonly baseline: number[]
}

/**
 * Web-service KPIs, a point a minute: all series as the keys of one run whose own decisions are counted, at the alert
 * budget given. The baseline raises as many alerts as the pipeline did, at the threshold that gives just so many.
 */
export async function measureKpi(folder: string, pipeline: Pipeline, perMillion: number): Promise<Measurement> {
  const files = inputFiles(globSync(join(folder, '*.csv.gz')).sort())
  if (files.length === 0) throw new AppError('NotFound', `${folder}: no *.csv.gz`)
  const collection = new Map<string, Series>(
    files.map(({ source }) => [source, { labels: [], alerts: [], baseline: [] }]),
  )
  const zScore = ewz()
  const { alertBudgetPerMillion, ...detection } = pipeline.spec.detection
  const { alerts } = await backtest({
    pipeline: { ...pipeline, spec: { ...pipeline.spec, detection: { ...detection, alertBudget: { perMillion } } } },
    files,
    label: 'label',
    onEvent({ record, event, verdict, label }) {
      const series = collection.get(record.source)!
      series.labels.push(label ?? 0)
      series.alerts.push(verdict.isAnomaly ? 1 : 0)
      series.baseline.push(zScore.score(record.source, [event.value]))
    },
  })
  const all = [...collection.values()]
  const segments = all.map(({ labels }) => segmentsOf(labels))
  const own = foundSegments(
    segments,
    all.map((series) => Uint8Array.from(series.alerts)),
  )
  const base = foundSegments(
    segments,
    hindsightAlerts(
      all.map((series) => Float64Array.from(series.baseline)),
      { budget: alerts, refractoryRows },
    ),
  )
  const total = segments.reduce((sum, { length }) => sum + length, 0)
  return {
    collection: `kpi at ${perMillion}`,
    scope: `decisions of one run, ${all.length} series, ${total} segments, ${alerts} alerts`,
    figures: [
      { name: 'segments found', pipeline: own.found, baseline: base.found, digits: 0, tolerance: total / 100 },
      {
        name: 'false alerts',
        pipeline: own.wrong,
        baseline: base.wrong,
        digits: 0,
        tolerance: alerts / 100,
        better: 'lower',
      },
    ],
  }
}
