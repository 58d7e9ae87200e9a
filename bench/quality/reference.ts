import type { Figure, Measurement } from './measurement.ts'

const begin = '<!-- figures: written by bench/quality/quality.ts -->'
const end = '<!-- end of figures -->'

const ablationBegin = '<!-- ablation: written by bench/quality/ablation.ts -->'
const ablationEnd = '<!-- end of ablation -->'

/** The table of a document, by collection and figure: what the pipeline had. */
export function referenceOf(document: string): ReadonlyMap<string, number> {
  const table = document.slice(document.indexOf(begin), document.indexOf(end))
  const rows = table.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| collection'))
  return new Map(
    rows.map((line) => {
      const [collection, figure, pipeline] = line.slice(2).split(' | ') as [string, string, string]
      return [`${collection} ${figure}`, Number.parseFloat(pipeline)]
    }),
  )
}

/** The document with these measurements in its table; those of other collections stay. */
export function withTable(document: string, measurements: readonly Measurement[]): string {
  const rows = measurements.flatMap(({ collection, figures }) => figures.map((figure) => rowOf(collection, figure)))
  const measured = new Set(measurements.map(({ collection }) => `| ${collection} |`))
  const head = document.slice(0, document.indexOf(begin))
  const table = document.slice(document.indexOf(begin), document.indexOf(end)).split('\n')
  const others = table.filter(
    (line) => /^\| (?!collection)/.test(line) && ![...measured].some((name) => line.startsWith(name)),
  )
  const lines = [
    '| collection | figure | pipeline | plain z-score | batch forest of scikit-learn |',
    '|---|---|---|---|---|',
    ...others,
    ...rows,
  ]
  return `${head}${begin}\n${lines.join('\n')}\n${document.slice(document.indexOf(end))}`
}

/** The document with these rows in its table of what each part of the detector of series adds. */
export function withAblation(document: string, injected: number, rows: readonly string[]): string {
  const head = document.slice(0, document.indexOf(ablationBegin))
  const lines = [
    ablationBegin,
    `| detector | NAB standard | KPIs at 300: found / false | of ${injected} injected: found / false | leaks in their first tenth / false |`,
    '|---|---|---|---|---|',
    ...rows,
  ]
  return `${head}${lines.join('\n')}\n${document.slice(document.indexOf(ablationEnd))}`
}

/** In words, each figure that is worse than the reference by more than its tolerance: a point if it names none. */
export function lossesOf(measurements: readonly Measurement[], reference: ReadonlyMap<string, number>): string[] {
  return measurements.flatMap(({ collection, figures }) =>
    figures.flatMap((figure) => {
      const before = reference.get(`${collection} ${figure.name}`)
      if (before === undefined) return []
      const loss = figure.better === 'lower' ? figure.pipeline - before : before - figure.pipeline
      if (loss <= toleranceOf(figure)) return []
      return [`${collection}: ${figure.name} is ${text(figure, figure.pipeline)} and was ${text(figure, before)}`]
    }),
  )
}

function toleranceOf({ tolerance, digits = 3 }: Figure): number {
  return tolerance ?? (digits > 1 ? 0.01 : 1)
}

function rowOf(collection: string, figure: Figure): string {
  const { name, pipeline, deviation, baseline, forest } = figure
  const spread = deviation === undefined ? '' : ` ± ${text(figure, deviation)}`
  const cells = [baseline, forest].map((number) => (number === undefined ? '' : text(figure, number)))
  return `| ${[collection, name, `${text(figure, pipeline)}${spread}`, ...cells].join(' | ')} |`
}

function text({ digits = 3 }: Figure, number: number): string {
  return number.toFixed(digits)
}
