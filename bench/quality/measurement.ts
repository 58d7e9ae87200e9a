/** One measure of a collection, of the pipeline and of the baseline on the same events. */
export interface Figure {
  readonly name: string
  readonly pipeline: number
  /** Absent where the baseline has no such figure. */
  readonly baseline?: number
  /** Standard deviation over seeds of the pipeline's figure. */
  readonly deviation?: number
  /** scikit-learn's isolation forest, fitted on all rows at once. */
  readonly forest?: number
  /** Digits after the point, for people; 3 if absent. */
  readonly digits?: number
  /** What is better; higher if absent. */
  readonly better?: 'lower'
  /** A loss that may be chance: a point if absent. */
  readonly tolerance?: number
}

/** What a run over a collection gave. */
export interface Measurement {
  readonly collection: string
  /** What was run over and what is counted, in words. */
  readonly scope: string
  readonly figures: readonly Figure[]
  /** Files of the collection on their own, where the figures are means over them. */
  readonly files?: readonly { readonly name: string; readonly figures: readonly Figure[] }[]
}

/** `nab  standard 70.2 (48.1)  …  31 series …`: the baseline's figure is in parentheses. */
export function measurementText({ collection, scope, figures }: Measurement): string {
  const texts = figures.map(({ name, pipeline, baseline, forest, deviation, digits = 3 }) => {
    const spread = deviation === undefined ? '' : ` ±${deviation.toFixed(digits)}`
    const others = [baseline, forest].filter((number) => number !== undefined).map((number) => number.toFixed(digits))
    return `${name} ${pipeline.toFixed(digits)}${spread}${others.length === 0 ? '' : ` (${others.join(', ')})`}`
  })
  return `${collection.padEnd(13)} ${texts.join('  ')}  [${scope}]`
}

/** The figures of equal name averaged. */
export function meanOverSets(sets: readonly (readonly Figure[])[]): Figure[] {
  return sets[0]!.map((figure, at) => {
    const baseline = sets.flatMap((figures) => figures[at]!.baseline ?? [])
    const forest = sets.flatMap((figures) => figures[at]!.forest ?? [])
    return {
      ...figure,
      pipeline: mean(sets.map((figures) => figures[at]!.pipeline)),
      ...(baseline.length === 0 ? undefined : { baseline: mean(baseline) }),
      ...(forest.length === 0 ? undefined : { forest: mean(forest) }),
    }
  })
}

/** The same, and how far the seeds lie apart where there are several. */
export function meanOverSeeds(runs: readonly (readonly Figure[])[]): Figure[] {
  const figures = meanOverSets(runs)
  if (runs.length === 1) return figures
  return figures.map((figure, at) => ({
    ...figure,
    deviation: standardDeviation(runs.map((figures) => figures[at]!.pipeline)),
  }))
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, x) => sum + x, 0) / numbers.length
}

/** Of a sample: divided by one less than the count. */
function standardDeviation(numbers: readonly number[]): number {
  const middle = mean(numbers)
  return Math.sqrt(numbers.reduce((sum, x) => sum + (x - middle) ** 2, 0) / (numbers.length - 1))
}
