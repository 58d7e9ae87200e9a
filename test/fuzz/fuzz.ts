import { type Random, random } from '../../workloads/detection/random.ts'

/** A property that holds for every input: `NAME.fuzz.ts` exports one as `fuzz`, and that is all there is to add one. */
export interface Fuzz {
  readonly name: string
  /** Makes an input of the random numbers, tries it, and throws where the property does not hold. */
  readonly tryOne: (chance: Chance) => void | Promise<void>
  /** Ends what the inputs were tried on. */
  readonly close?: () => Promise<void>
}

/** Random numbers and choices. */
export interface Chance extends Random {
  pick<T>(...choices: readonly T[]): T
  /** Whether a thing of this probability happens. */
  happens(probability: number): boolean
  /** Text of so many characters of an alphabet. */
  text(length: number, alphabet: string): string
  /** The bytes with some of them changed, left out or doubled. */
  damaged(bytes: Buffer): Buffer
}

export function chanceOf(seed: string): Chance {
  const source = random(seed)
  const { next, int } = source
  return {
    ...source,
    pick: (...choices) => choices[int(choices.length)]!,
    happens: (probability) => next() < probability,
    text: (length, alphabet) => Array.from({ length }, () => alphabet[int(alphabet.length)]!).join(''),
    damaged(bytes) {
      let damaged = Buffer.from(bytes)
      for (let n = 1 + int(3); n > 0 && damaged.length > 0; n--) {
        const at = int(damaged.length)
        const kind = int(4)
        if (kind < 2) damaged[at] = kind === 0 ? int(256) : damaged[at]! ^ (1 << int(8))
        else {
          const to = at + 1 + int(20)
          const parts = [damaged.subarray(0, at), damaged.subarray(kind === 2 ? to : at)]
          if (kind === 3) parts.splice(1, 0, damaged.subarray(at, to))
          damaged = Buffer.concat(parts)
        }
      }
      return damaged
    },
  }
}

export interface FuzzOptions {
  readonly seconds: number
  readonly seed: string
  /** The first input; each has random numbers of its own, so that one that failed can be tried alone. */
  readonly from?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Tries inputs until the time is over; says how many. Throws with the seed and the number of one that failed. */
export async function runFuzz({ name, tryOne, close }: Fuzz, options: FuzzOptions): Promise<number> {
  const { seconds, seed, from = 0, signal } = options
  const end = performance.now() + seconds * 1000
  let at = from
  try {
    for (; performance.now() < end && signal?.aborted !== true; at++) await tryOne(chanceOf(`${name} ${seed} ${at}`))
    return at - from
  } catch (error) {
    const again = `npm run fuzz -- --only ${name} --seed ${seed} --from ${at}`
    throw new Error(`input ${at}: ${error instanceof Error ? error.message : error}\n  again with: ${again}`, {
      cause: error,
    })
  } finally {
    await close?.()
  }
}
