import type { Pipeline } from '../../lib/pipeline/spec.ts'
import type { SourceSample } from '../lag/lag-sampler.ts'
import type { Problem } from '../problem.ts'
import { type ComponentState, describeComponent } from './component-state.ts'

export interface ProblemInput {
  readonly pipeline?: Pipeline | undefined
  readonly issues: readonly string[]
  readonly problems: readonly Problem[]
  readonly source?: SourceSample | undefined
}

/** What keeps it from being as it should: the cause before its effects. */
export function firstProblem(
  { pipeline, issues, problems, source }: ProblemInput,
  states: readonly ComponentState[],
  isPaused: boolean,
): Problem | undefined {
  const limited = (message: string) => message.slice(0, 32_768)
  if (issues.length > 0) return { reason: 'InvalidSpec', message: limited(issues.join('\n')), stalled: true }
  const [problem] = problems
  if (problem !== undefined) return { ...problem, message: limited(problem.message) }
  const lacking = isPaused ? undefined : sourceProblem(source, pipeline)
  const isCause = lacking !== undefined && (lacking.stalled || lacking.reason === 'SourceUnreachable')
  for (const state of states) {
    if (state.isServing) continue
    if (isCause && waitsForSource(state)) return lacking
    return {
      reason: `${capitalised(state.component)}NotReady`,
      message: describeComponent(state),
      stalled: state.isStuck,
    }
  }
  return lacking
}

function sourceProblem(source: SourceSample | undefined, pipeline: Pipeline | undefined): Problem | undefined {
  if (source?.problem === undefined) return undefined
  const { reason, message } = source.problem
  if (reason !== 'TopicMissing') return { reason: 'SourceUnreachable', message, stalled: false }
  // Else the consumers are about to create it.
  return { reason, message, stalled: pipeline?.spec.source.createTopics.mode === 'Disabled' }
}

/** Whether its pods run and only are not ready, as those that wait for brokers or a topic. */
const waitsForSource = ({ component, reason }: ComponentState): boolean =>
  (component === 'consumer' || component === 'api' || component === 'recorder') &&
  (reason === undefined || reason === 'ProbeFailing')

const capitalised = (word: string): string => `${word[0]!.toUpperCase()}${word.slice(1)}`
