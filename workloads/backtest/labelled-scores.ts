import { Column } from './column.ts'
import {
  averagePrecision,
  type DecisionQuality,
  decisionQuality,
  precisionRecallCurve,
  rankScores,
  rocAuc,
} from './evaluation.ts'

export interface Evaluation {
  readonly rocAuc: number
  readonly averagePrecision: number
  readonly curve: readonly { readonly recall: number; readonly precision: number }[]
  readonly decided: DecisionQuality
}

/** Scores and decisions beside the truth, an entry for each row that has a label. */
export class LabelledScores {
  readonly #scores = new Column()
  readonly #labels = new Column()
  readonly #decisions = new Column()

  get count(): number {
    return this.#labels.length
  }

  add(score: number, isAnomaly: boolean, label: 0 | 1): void {
    this.#scores.push(score)
    this.#labels.push(label)
    this.#decisions.push(isAnomaly ? 1 : 0)
  }

  evaluate(): Evaluation {
    const labels = Uint8Array.from(this.#labels.numbers())
    const ranked = rankScores(this.#scores.numbers().slice(), labels)
    return {
      rocAuc: rocAuc(ranked),
      averagePrecision: averagePrecision(ranked),
      curve: precisionRecallCurve(ranked),
      decided: decisionQuality(Uint8Array.from(this.#decisions.numbers()), labels),
    }
  }
}
