/** A stream of random numbers that its seed alone decides. Not for secrets. */
export interface Random {
  /** Uniform in [0, 1), with 53 random bits. */
  next(): number
  /** Uniform among 0 … n - 1; n is a positive integer. */
  int(n: number): number
  /** Where the stream stands: `random(state)` goes on from there. */
  state(): RandomState
}

/** Four unsigned 32-bit integers. */
export type RandomState = readonly [number, number, number, number]

/** C. Doty-Humphrey's sfc32 (PractRand 0.94): its period is at least 2^32 for every seed, on average 2^127. */
export function random(seed: number | string | RandomState): Random {
  const fresh = typeof seed !== 'object'
  let [a, b, c, counter] = fresh ? stateOf(String(seed)) : seed
  const bits = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum >>> 0
  }
  // The author's advice: so many rounds until a poor seed is forgotten.
  if (fresh) for (let i = 0; i < 12; i++) bits()
  const next = () => ((bits() >>> 5) * 2 ** 26 + (bits() >>> 6)) / 2 ** 53
  return {
    next,
    int: (n) => Math.floor(next() * n),
    state: () => [a >>> 0, b >>> 0, c >>> 0, counter >>> 0],
  }
}

/** Three words, each mixed from all of the text: FNV-1a from three offsets, then MurmurHash3's finaliser. */
function stateOf(text: string): RandomState {
  const mix = (offset: number): number => {
    let h = offset
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
    return h ^ (h >>> 16)
  }
  return [mix(0x811c9dc5), mix(0x9e3779b9), mix(0x85ebca6b), 1]
}
