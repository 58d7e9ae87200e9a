/**
 * The median of numbers without NaN; NaN where there are none. Changes their order: the numbers are parted around the middle
 * instead of sorted (C. A. R. Hoare, "Algorithm 65: Find", CACM 4, 1961), a tenth of the work.
 */
export function median(numbers: Float64Array): number {
  const n = numbers.length
  if (n === 0) return Number.NaN
  const middle = n >> 1
  let upper = smallest(numbers, middle)
  let lower = n % 2 === 1 ? upper : numbers[0]!
  if (n % 2 === 0) for (let i = 1; i < middle; i++) if (numbers[i]! > lower) lower = numbers[i]!
  if (lower === 0 || upper === 0) {
    // Only sorting tells -0 and 0 apart.
    numbers.sort()
    lower = numbers[(n - 1) >> 1]!
    upper = numbers[middle]!
  }
  return (lower + upper) / 2
}

/** The number that would be at index `k` if they were sorted; afterwards those before it are at most as great. */
function smallest(numbers: Float64Array, k: number): number {
  let from = 0
  let to = numbers.length - 1
  while (from < to) {
    const pivot = numbers[k]!
    let left = from
    let right = to
    while (left <= right) {
      while (numbers[left]! < pivot) left++
      while (numbers[right]! > pivot) right--
      if (left > right) break
      const number = numbers[left]!
      numbers[left++] = numbers[right]!
      numbers[right--] = number
    }
    if (right < k) from = left
    if (left > k) to = right
  }
  return numbers[k]!
}
