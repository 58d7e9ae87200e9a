import { AppError } from '../../lib/errors.ts'
import type { ResolvedDetector } from '../../lib/pipeline/resolve-pipeline.ts'
import { unionDefaults } from '../../lib/pipeline/spec.ts'
import { decodeModel, fitModel, type Model, type ModelFit, type ModelSample } from '../detection/model.ts'
import { fitOnnx, readOnnx } from './onnx-model.ts'
import type { OnnxRunner } from './onnx-runner.ts'

/** How a detector comes by its model. */
export interface ModelMaker {
  readonly fit: (sample: ModelSample) => Model
  /** The same, with what takes long left to `fitter`. */
  readonly fitIn: (fitter: (fit: ModelFit) => Promise<Model>, sample: ModelSample) => Promise<Model>
  /** @throws Error that names what is wrong with the bytes */
  readonly read: (artifact: Uint8Array) => Model
}

/** Of the detectors that need a model, in their order. */
export function modelMakers(
  detectors: readonly ResolvedDetector[],
  runners: readonly OnnxRunner[] = [],
): readonly ModelMaker[] {
  return detectors.flatMap((detector): ModelMaker[] => {
    if (detector.type === 'isolationForest') {
      const { trees, sampleSize } = detector
      return [
        {
          fit: (sample) => fitModel({ ...sample, trees, sampleSize }),
          fitIn: (fitter, sample) => fitter({ ...sample, trees, sampleSize }),
          read: decodeModel,
        },
      ]
    }
    if (detector.type !== 'onnx') return []
    const runner = runners.find((one) => one.detector.name === detector.name)
    if (runner === undefined)
      throw new AppError('InvalidArgument', `Detector ${detector.name}: this command runs no ONNX models`)
    return [
      {
        fit: (sample) => fitOnnx(sample, runner),
        fitIn: async (_, sample) => fitOnnx(sample, runner),
        read: (artifact) => readOnnx(artifact, runner),
      },
    ]
  })
}

/** Events between two fits of the models. */
export const refitEventsOf = (detectors: readonly ResolvedDetector[]): number => {
  const stated = detectors.flatMap((detector) => (detector.type === 'isolationForest' ? [detector.refitEvents] : []))
  return stated.length === 0 ? unionDefaults.isolationForest.refitEvents : Math.min(...stated)
}
