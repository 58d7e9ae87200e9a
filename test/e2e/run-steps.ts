import { appendFileSync } from 'node:fs'

/** A goal in seconds and what was measured; a table shows both. A goal that is missed fails nothing: machines differ. */
export interface Measurement {
  readonly what: string
  readonly seconds: number
  readonly goalSeconds: number
}

/** Lets a step say what it measured. */
export type Measure = (what: string, goalSeconds: number, seconds: number) => void

export interface Step<World> {
  readonly name: string
  run(world: World, measure: Measure): Promise<void>
}

interface Outcome {
  readonly name: string
  readonly seconds: number
  readonly result: 'passed' | 'failed' | 'not run'
}

/**
 * Runs the steps in order and prints each with its seconds; after the first that fails the others are not run, since each
 * stands on those before. Answers whether all passed.
 */
export async function runSteps<World>(
  world: World,
  steps: readonly Step<World>[],
  { onFailure }: { readonly onFailure: () => Promise<void> },
): Promise<boolean> {
  const outcomes: Outcome[] = []
  const measurements: Measurement[] = []
  let failed = false
  for (const { name, run } of steps) {
    if (failed) {
      outcomes.push({ name, seconds: 0, result: 'not run' })
      continue
    }
    print(`… ${name}`)
    const began = performance.now()
    const before = measurements.length
    try {
      await run(world, (what, goalSeconds, seconds) => measurements.push({ what, goalSeconds, seconds }))
    } catch (error) {
      failed = true
      print(`✗ ${name}: ${error instanceof Error ? error.message : error}`)
      await onFailure().catch((reason: unknown) => print(`nothing more is known: ${reason}`))
    }
    const seconds = (performance.now() - began) / 1000
    outcomes.push({ name, seconds, result: failed ? 'failed' : 'passed' })
    if (!failed) print(`✓ ${name} (${seconds.toFixed(1)} s)`)
    for (const { what, seconds, goalSeconds } of measurements.slice(before))
      print(`    ${what}: ${seconds.toFixed(1)} s (goal ${goalSeconds} s)`)
  }
  const table = tableOf(outcomes, measurements)
  print(`\n${table}\n`)
  const summary = process.env.GITHUB_STEP_SUMMARY
  if (summary !== undefined) appendFileSync(summary, `${table}\n`)
  const count = (result: Outcome['result']): number => outcomes.filter((outcome) => outcome.result === result).length
  const skipped = count('not run')
  print(`${count('passed')} passed, ${count('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return !failed
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Two tables in Markdown: the steps, and what was measured beside its goal. */
export function tableOf(outcomes: readonly Outcome[], measurements: readonly Measurement[]): string {
  const steps = outcomes.map(({ name, seconds, result }) => [
    name,
    result === 'not run' ? '' : seconds.toFixed(1),
    result,
  ])
  const goals = measurements.map(({ what, seconds, goalSeconds }) => [
    what,
    seconds.toFixed(1),
    `<= ${goalSeconds}`,
    seconds <= goalSeconds ? 'met' : 'missed',
  ])
  return `${rows(['step', 'seconds', 'result'], steps)}\n\n${rows(['time goal', 'seconds', 'goal', ''], goals)}`
}

function rows(head: readonly string[], body: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, 1, ...body.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n')
}
