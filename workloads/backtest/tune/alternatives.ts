import type { DetectionSpec, Pipeline } from '../../../lib/pipeline/spec.ts'
import { isUnordered } from './injected-sample.ts'

export type Detectors = NonNullable<DetectionSpec['detectors']>

/** A pipeline that may be better than the one given. */
export interface Alternative {
  /** Its detectors in words. */
  readonly name: string
  readonly pipeline: Pipeline
}

type Kind = 'profile' | 'isolationForest' | 'discord'
type Detector = Detectors[number]

/** Each was the best of some of the data that it was measured on (docs/quality.md); others never were. */
const ofSeries: readonly (readonly Kind[])[] = [['profile', 'isolationForest'], ['discord'], ['discord', 'profile']]
const ofRows: readonly (readonly Kind[])[] = [['isolationForest']]
const usual: Readonly<Record<Kind, Detector>> = {
  profile: { name: 'profile', profile: {} },
  isolationForest: { name: 'forest', isolationForest: {} },
  discord: { name: 'discord', discord: {} },
}

/** The pipeline as it is, first, and with other detectors. Those that it has keep their names and options. */
export function alternativesTo(pipeline: Pipeline): readonly Alternative[] {
  const given = pipeline.spec.detection.detectors ?? [usual.profile, usual.isolationForest]
  const own = given.filter(({ onnx }) => onnx !== undefined)
  const others = (isUnordered(pipeline.spec.event) ? ofRows : ofSeries)
    .map((kinds) => [...kinds.map((kind) => given.find((one) => one[kind] !== undefined) ?? usual[kind]), ...own])
    .filter((detectors) => kindsOf(detectors).sort().join() !== kindsOf(given).sort().join())
  return [
    { name: nameOf(given), pipeline },
    ...others.map((detectors) => ({ name: nameOf(detectors), pipeline: withDetection(pipeline, { detectors }) })),
  ]
}

export function withDetection(pipeline: Pipeline, changes: Partial<DetectionSpec>): Pipeline {
  return { ...pipeline, spec: { ...pipeline.spec, detection: { ...pipeline.spec.detection, ...changes } } }
}

/** Decided by this budget, in the mode that it has. */
export function withBudget(pipeline: Pipeline, perMillion: number): Pipeline {
  const { alertBudgetPerMillion: _, threshold: __, ...detection } = pipeline.spec.detection
  return {
    ...pipeline,
    spec: { ...pipeline.spec, detection: { ...detection, alertBudget: { ...detection.alertBudget, perMillion } } },
  }
}

function kindsOf(detectors: Detectors): string[] {
  return detectors.map(({ name: _, ...kinds }) => Object.keys(kinds)[0]!)
}

function nameOf(detectors: Detectors): string {
  return kindsOf(detectors).join(' + ')
}
