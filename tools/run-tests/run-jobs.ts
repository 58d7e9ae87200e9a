import type { TestCounts } from './reporter.ts'

/** Test files that run in one process. */
export interface Job {
  readonly name: string
  readonly files: readonly string[]
}

export interface Outcome extends TestCounts {
  readonly name: string
  readonly seconds: number
  /** All that the process wrote. */
  readonly output: string
}

/**
 * Runs the jobs, `atOnce` at a time, those first that took longest last time; a job without a time is taken for a long one.
 */
export async function runJobs(
  jobs: readonly Job[],
  options: {
    readonly atOnce: number
    readonly lastSeconds: Readonly<Record<string, number>>
    readonly run: (job: Job) => Promise<Outcome>
    readonly ended: (outcome: Outcome) => void
    /** Begins no further job. */
    readonly signal?: AbortSignal | undefined
  },
): Promise<Outcome[]> {
  const { atOnce, lastSeconds, run, ended, signal } = options
  const secondsOf = ({ name }: Job): number => lastSeconds[name] ?? Number.POSITIVE_INFINITY
  const waiting = jobs.toSorted((a, b) => (secondsOf(a) === secondsOf(b) ? 0 : secondsOf(b) - secondsOf(a)))
  const outcomes: Outcome[] = []
  const work = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined && !signal?.aborted; job = waiting.shift()) {
      const outcome = await run(job)
      outcomes.push(outcome)
      ended(outcome)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return outcomes
}

/** The line that scripts read: `N passed, N failed[, N skipped]`. */
export function closingLine(outcomes: readonly TestCounts[]): string {
  const sum = (of: keyof TestCounts): number => outcomes.reduce((total, outcome) => total + outcome[of], 0)
  const skipped = sum('skipped')
  return `${sum('passed')} passed, ${sum('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

/** What Mocha's epilogue says of the failures, or the output's end where there is none, in `maxLines` lines. */
export function failuresOf(output: string, maxLines = 12): string {
  const lines = output.trimEnd().split('\n')
  const from = lines.findLastIndex((line) => /^\s+\d+ failing$/.test(line))
  const said = from < 0 ? lines.slice(-maxLines) : lines.slice(from + 1)
  return said
    .filter((line) => line.trim() !== '')
    .slice(0, maxLines)
    .join('\n')
}
