import { html } from 'htm/preact'
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import type { SeriesPoint } from '../history/history.ts'
import { formatNumber } from '../terminal/wording.ts'
import { usualRange } from './usual-range.ts'

export interface ChartProps {
  readonly points: readonly SeriesPoint[]
  readonly label: string
  /** Stretch that is marked, in ms. */
  readonly marked?: readonly [from: number, to: number] | undefined
}

/** Values over time with what was usual and what alerted, and the anomaly scores below. */
export function SeriesChart({ points, label, marked }: ChartProps) {
  const values = useRef<HTMLDivElement>(null)
  const scores = useRef<HTMLDivElement>(null)
  const hasValues = points.some(({ value }) => value !== null)
  useEffect(() => {
    const places = [hasValues ? values.current : null, scores.current]
    const draw = () => places.map((place, i) => (place === null ? undefined : chartIn(place, points, i === 0, marked)))
    let charts = draw()
    const redraw = () => {
      for (const chart of charts) chart?.destroy()
      charts = draw()
    }
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    scheme.addEventListener('change', redraw)
    const resized = new ResizeObserver(() => {
      for (const [i, chart] of charts.entries()) {
        const width = places[i]?.clientWidth ?? 0
        if (chart !== undefined && width > 0 && width !== chart.width) chart.setSize({ width, height: chart.height })
      }
    })
    for (const place of places) if (place !== null) resized.observe(place)
    return () => {
      resized.disconnect()
      scheme.removeEventListener('change', redraw)
      for (const chart of charts) chart?.destroy()
    }
  }, [points, hasValues, marked?.[0], marked?.[1]])
  const alerts = points.reduce((sum, point) => sum + point.alerts, 0)
  const told = `${label}: ${points.length} points, ${alerts} alerts`
  return html`<figure class="chart" aria-label=${told}>
    ${hasValues && html`<div class="plot" ref=${values}></div>`}
    <div class="plot" ref=${scores}></div>
    <figcaption>
      <span class="key-value">value</span> <span class="key-usual">usual before</span> <span class="key-alert">alert</span>
      <span class="key-score">anomaly score</span> <span class="key-threshold">threshold</span>
    </figcaption>
  </figure>`
}

function chartIn(
  place: HTMLElement,
  points: readonly SeriesPoint[],
  isOfValues: boolean,
  marked: ChartProps['marked'],
): uPlot {
  const style = getComputedStyle(place)
  const colour = (name: string) => style.getPropertyValue(name).trim()
  const times = points.map(({ time }) => time / 1000)
  const axis = {
    stroke: colour('--soft'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line') },
  }
  const timeAxis = { ...axis, values: timesOf }
  const dots = { show: true, size: 9, fill: colour('--alert'), stroke: colour('--paper'), width: 1 }
  const range = isOfValues ? usualRange(points) : []
  const height = isOfValues ? 240 : 120
  const shared = {
    width: place.clientWidth,
    height,
    legend: { show: false },
    cursor: { drag: { x: true, y: false } },
    tzDate: (seconds: number) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
    hooks: { draw: [(chart: uPlot) => mark(chart, marked, colour('--marked'))] },
  }
  const bars = { stroke: colour('--value'), width: 1.5, points: { show: points.length < 60, size: 4 } }
  const alertOf = (read: (point: SeriesPoint) => number | null) =>
    points.map((point) => (point.alerts > 0 ? read(point) : null))
  if (isOfValues)
    return new uPlot(
      {
        ...shared,
        scales: { x: { time: true } },
        axes: [timeAxis, { ...axis, size: 64, values: (_, ticks) => ticks.map(formatNumber) }],
        bands: [{ series: [1, 2], fill: colour('--usual') }],
        series: [
          {},
          { stroke: 'transparent', points: { show: false } },
          { stroke: 'transparent', points: { show: false } },
          bars,
          { stroke: 'transparent', points: dots },
        ],
      },
      [
        times,
        range.map((one) => one?.[1] ?? null),
        range.map((one) => one?.[0] ?? null),
        points.map(({ value }) => value),
        alertOf(({ high, low, value }) => ((value ?? 0) < 0 ? low : high)),
      ],
      place,
    )
  // A score says more the nearer it is to 1: nines are drawn in even steps.
  const nines = (score: number) => -Math.log10(Math.max(1e-12, 1 - score))
  return new uPlot(
    {
      ...shared,
      scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max(4, max + 0.5)] } },
      axes: [
        timeAxis,
        {
          ...axis,
          size: 64,
          splits: (_, __, ___, max) => evenly(max),
          values: (_, ticks) => ticks.map(scoreOf),
        },
      ],
      series: [
        {},
        { ...bars, stroke: colour('--score') },
        { stroke: colour('--soft'), width: 1, dash: [4, 4], points: { show: false } },
        { stroke: 'transparent', points: dots },
      ],
    },
    [
      times,
      points.map(({ score }) => nines(score)),
      points.map(({ threshold }) => nines(threshold)),
      alertOf(({ score }) => nines(score)),
    ],
    place,
  )
}

/** UTC: the time of day, and below it the day where that is another one. */
function timesOf(_: uPlot, seconds: number[], __: number, ___: number, step: number): string[] {
  let shown = ''
  return seconds.map((at) => {
    const text = new Date(at * 1000).toISOString()
    const [day, time] = [text.slice(0, 10), text.slice(11, step < 60 ? 19 : 16)]
    if (step >= 86_400) return day.slice(5)
    if (day === shown) return time
    shown = day
    return `${time}\n${day.slice(5)}`
  })
}

/** So many nines, in as many letters as there is room for. */
function scoreOf(n: number): string {
  if (n === 0) return '0'
  return n > 4 ? `1−1e-${n}` : (1 - 10 ** -n).toFixed(n)
}

function evenly(max: number): number[] {
  return Array.from({ length: Math.floor(max / 2) + 1 }, (_, i) => 2 * i)
}

function mark(chart: uPlot, marked: ChartProps['marked'], colour: string): void {
  if (marked === undefined) return
  const [from, to] = marked.map((time) => chart.valToPos(time / 1000, 'x', true)) as [number, number]
  const { left, top, width, height } = chart.bbox
  const start = Math.max(left, from - 3)
  chart.ctx.fillStyle = colour
  chart.ctx.fillRect(start, top, Math.max(6, Math.min(left + width, to + 3) - start), height)
}
