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

/** What is run: a step, several one after the other, or several beside each other. */
export type Plan<World> = Step<World> | readonly Plan<World>[] | { readonly beside: readonly Plan<World>[] }

interface Outcome {
  readonly name: string
  readonly measurements: Measurement[]
  seconds: number
  result: 'passed' | 'failed' | 'not run'
}

/**
 * Runs the plan and prints each step with its seconds. After the first that fails no other begins, since each stands on
 * those before; what runs beside it comes to its end. Answers whether all passed.
 */
export async function runSteps<World>(
  world: World,
  plan: Plan<World>,
  { onFailure }: { readonly onFailure: () => Promise<void> },
): Promise<boolean> {
  const outcomes = new Map<Step<World>, Outcome>(
    stepsOf(plan).map((step) => [step, { name: step.name, measurements: [], seconds: 0, result: 'not run' }]),
  )
  let failed = false

  async function runPlan(part: Plan<World>): Promise<void> {
    if ('run' in part) await runStep(part)
    else if ('beside' in part) await Promise.all(part.beside.map(runPlan))
    else for (const one of part) await runPlan(one)
  }

  async function runStep(step: Step<World>): Promise<void> {
    if (failed) return
    const outcome = outcomes.get(step)!
    print(`… ${step.name}`)
    const began = performance.now()
    const measure: Measure = (what, goalSeconds, seconds) => outcome.measurements.push({ what, goalSeconds, seconds })
    const error = await step.run(world, measure).then(
      () => undefined,
      (reason: unknown) => (reason instanceof Error ? reason : new Error(String(reason))),
    )
    outcome.seconds = (performance.now() - began) / 1000
    outcome.result = error === undefined ? 'passed' : 'failed'
    const seconds = `(${outcome.seconds.toFixed(1)} s)`
    print(error === undefined ? `✓ ${step.name} ${seconds}` : `✗ ${step.name} ${seconds}: ${error.message}`)
    for (const one of outcome.measurements)
      print(`    ${one.what}: ${one.seconds.toFixed(1)} s (goal ${one.goalSeconds} s)`)
    if (error === undefined) return
    failed = true
    await onFailure().catch((reason: unknown) => print(`nothing more is known: ${reason}`))
  }

  const began = performance.now()
  await runPlan(plan)
  const all = [...outcomes.values()]
  const table = tableOf(all)
  print(`\n${table}\n`)
  const summary = process.env.GITHUB_STEP_SUMMARY
  if (summary !== undefined) appendFileSync(summary, `${table}\n`)
  const count = (result: Outcome['result']): number => all.filter((outcome) => outcome.result === result).length
  const skipped = count('not run')
  const minutes = ((performance.now() - began) / 60_000).toFixed(1)
  print(
    `${count('passed')} passed, ${count('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}, ${minutes} min`,
  )
  return !failed
}

function stepsOf<World>(plan: Plan<World>): readonly Step<World>[] {
  if ('run' in plan) return [plan]
  return ('beside' in plan ? plan.beside : plan).flatMap(stepsOf)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Two tables in Markdown: the steps, and what was measured beside its goal. */
function tableOf(outcomes: readonly Outcome[]): string {
  const steps = outcomes.map(({ name, seconds, result }) => [
    name,
    result === 'not run' ? '' : seconds.toFixed(1),
    result,
  ])
  const goals = outcomes.flatMap(({ measurements }) =>
    measurements.map(({ what, seconds, goalSeconds }) => [
      what,
      seconds.toFixed(1),
      `<= ${goalSeconds}`,
      seconds <= goalSeconds ? 'met' : 'missed',
    ]),
  )
  return `${rows(['step', 'seconds', 'result'], steps)}\n\n${rows(['time goal', 'seconds', 'goal', ''], goals)}`
}

function rows(head: readonly string[], body: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, 1, ...body.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n')
}
