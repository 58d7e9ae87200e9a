/** Transactions as columns: one entry for each, in order of time. */
export interface ScoredTransactions {
  /** Days since the start of the data. */
  readonly day: Int32Array
  readonly card: Int32Array
  readonly score: Float64Array
  /** 1 = fraud. */
  readonly fraud: Uint8Array
}

interface Card {
  readonly id: number
  score: number
  fraud: boolean
}

/**
 * Card precision top-k: every day the `top` cards with the highest score are looked at; the mean over days of the share
 * of them that had a fraud that day (Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection",
 * chapter "Precision top-k metrics"). `removeDetected` leaves out, on later days, the cards found so, as that chapter does;
 * without it a card that goes on being defrauded goes on counting.
 */
export function cardPrecision(
  { day, card, score, fraud }: ScoredTransactions,
  { top = 100, removeDetected = false }: { readonly top?: number; readonly removeDetected?: boolean } = {},
): number {
  const detected = new Set<number>()
  let days = 0
  let sum = 0
  for (let row = 0; row < day.length; ) {
    const today = day[row]
    const cards = new Map<number, Card>()
    for (; row < day.length && day[row] === today; row++) {
      const id = card[row]!
      if (detected.has(id)) continue
      const seen = cards.get(id)
      if (!seen) cards.set(id, { id, score: score[row]!, fraud: fraud[row] !== 0 })
      else {
        seen.score = Math.max(seen.score, score[row]!)
        seen.fraud ||= fraud[row] !== 0
      }
    }
    const hits = [...cards.values()]
      .sort((a, b) => b.score - a.score)
      .slice(0, top)
      .filter(({ fraud }) => fraud)
    if (removeDetected) for (const { id } of hits) detected.add(id)
    sum += hits.length / top
    days++
  }
  return sum / days
}
