import type { Surprisal } from '../detection/detector.ts'
import { type ChallengeFigures, PairedSurprisals, RowFigures } from './model-figures.ts'
import { type ModelSet, meanOf, type SetScores } from './model-set.ts'
import type { RowBatch } from './scorer.ts'

export interface Challenge {
  readonly models: ModelSet
  /** The keys whose rows it decides on: the same ones every time, and still among them when the share grows. */
  readonly percentOfKeys: number
}

export interface ServedScores extends SetScores {
  /** Of rows that the challenger decided on, in order; absent where none is. */
  readonly challenged?: { readonly version: string; readonly rows: readonly number[] } | undefined
}

interface UnderWay extends Challenge {
  readonly ofChampion: RowFigures
  readonly ofChallenger: RowFigures
  readonly pairs: PairedSurprisals
}

/** The models that score rows: the champion, and for a part of the keys a challenger. */
export class ServedModels {
  readonly #threshold: () => Surprisal
  #champion: ModelSet | undefined
  #underWay: UnderWay | undefined

  /** @param threshold surprisal that an event must reach to alert */
  constructor(threshold: () => Surprisal) {
    this.#threshold = threshold
  }

  get champion(): ModelSet | undefined {
    return this.#champion
  }

  get challenge(): Challenge | undefined {
    return this.#underWay
  }

  /** Scores from the next batch on. */
  use(models: ModelSet): void {
    this.#champion = models
  }

  /** Figures begin anew where it is another one, or has other keys. */
  setChallenge(challenge: Challenge | undefined): void {
    const { models, percentOfKeys } = challenge ?? {}
    const former = this.#underWay
    if (models?.version === former?.models.version && percentOfKeys === former?.percentOfKeys) return
    this.#underWay = challenge && {
      ...challenge,
      ofChampion: new RowFigures(),
      ofChallenger: new RowFigures(),
      pairs: new PairedSurprisals(),
    }
  }

  /** Undefined without a challenger. */
  figures(): ChallengeFigures | undefined {
    const [champion, underWay] = [this.#champion, this.#underWay]
    if (champion === undefined || underWay === undefined) return undefined
    const { models, percentOfKeys, ofChampion, ofChallenger, pairs } = underWay
    return {
      percentOfKeys,
      champion: ofChampion.figures(champion.version),
      challenger: ofChallenger.figures(models.version),
      agreement: pairs.agreement,
    }
  }

  /** Undefined before there is a champion. Rows that do not say whose they are are the champion's. */
  score(batch: RowBatch): ServedScores | undefined {
    const scores = this.#champion?.score(batch)
    const underWay = this.#underWay
    if (scores === undefined || underWay === undefined) return scores
    const { models, percentOfKeys, ofChampion, ofChallenger, pairs } = underWay
    const threshold = this.#threshold()
    const rows: number[] = []
    for (let row = 0; row < batch.count; row++) {
      if (batch.keyIds !== undefined && isAmong(batch.keyIds[row]!, percentOfKeys)) rows.push(row)
      else ofChampion.add(meanOf(scores.surprisals, row), threshold)
    }
    if (rows.length === 0) return scores
    const others = models.score(pick(batch, rows))
    const surprisals = scores.surprisals.map((ofModel) => ofModel.slice())
    const explanations = new Map(scores.explanations)
    for (const [i, row] of rows.entries()) {
      const mean = meanOf(others.surprisals, i)
      pairs.add(meanOf(scores.surprisals, row), mean)
      ofChallenger.add(mean, threshold)
      for (const [model, ofModel] of surprisals.entries()) ofModel[row] = others.surprisals[model]![i]!
      explanations.delete(row)
      const explanation = others.explanations.get(i)
      if (explanation !== undefined) explanations.set(row, explanation)
    }
    return { surprisals, explanations, challenged: { version: models.version, rows } }
  }
}

/** Whether a key is among the first so many percent of all. */
export function isAmong(keyId: number, percentOfKeys: number): boolean {
  // Another order than that of any table that the id is a place in (Knuth's multiplicative hash).
  return Math.imul(keyId, 0x9e3779b1) >>> 0 < (percentOfKeys / 100) * 2 ** 32
}

function pick(batch: RowBatch, rows: readonly number[]): RowBatch {
  const width = batch.columns.length
  const picked = new Float64Array(rows.length * width)
  for (const [i, row] of rows.entries()) picked.set(batch.rows.subarray(row * width, (row + 1) * width), i * width)
  return { columns: batch.columns, rows: picked, count: rows.length, explainFrom: batch.explainFrom }
}
