/**
 * How far two lists of numbers put the same things in the same order: Spearman's rank correlation, 1 where they agree, 0
 * where they have nothing to do with one another, -1 where one is the other upside down. Ties share their mean rank. NaN
 * where one of them does not tell its things apart.
 */
export function rankAgreement(one: Float64Array, other: Float64Array): number {
  const [a, b] = [ranksOf(one), ranksOf(other)]
  const mean = (one.length - 1) / 2
  let [together, ofOne, ofOther] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]! - mean, b[i]! - mean]
    together += x * y
    ofOne += x * x
    ofOther += y * y
  }
  return ofOne === 0 || ofOther === 0 ? Number.NaN : together / Math.sqrt(ofOne * ofOther)
}

function ranksOf(numbers: Float64Array): Float64Array {
  const order = Uint32Array.from(numbers, (_, i) => i).sort((i, j) => numbers[i]! - numbers[j]!)
  const ranks = new Float64Array(numbers.length)
  for (let from = 0; from < order.length; ) {
    let to = from + 1
    while (to < order.length && numbers[order[to]!] === numbers[order[from]!]) to++
    for (let i = from; i < to; i++) ranks[order[i]!] = (from + to - 1) / 2
    from = to
  }
  return ranks
}
