import type { Part } from '../../lib/lifecycle.ts'
import { onnxPathOf, type ResolvedDetector, type ResolvedOnnx } from '../../lib/pipeline/resolve-pipeline.ts'
import { type OnnxRunner, openOnnx } from './onnx-runner.ts'

/**
 * Opens the ONNX models of a pipeline.
 * @param folder where those of ConfigMaps and volumes are, a folder a detector
 * @throws AppError
 */
export async function openOnnxModels(
  detectors: readonly ResolvedDetector[],
  { folder, onProblem }: { readonly folder: string; readonly onProblem?: ((problem: string) => void) | undefined },
): Promise<readonly OnnxRunner[]> {
  const stated = detectors.filter((detector): detector is ResolvedOnnx => detector.type === 'onnx')
  const opened: OnnxRunner[] = []
  try {
    for (const detector of stated)
      opened.push(await openOnnx({ detector, path: onnxPathOf(detector, folder), onProblem }))
  } catch (error) {
    for (const runner of opened) await runner.close()
    throw error
  }
  return opened
}

/** Ends them with the process. */
export const onnxPart = (runners: readonly OnnxRunner[]): Part => ({
  name: 'onnx models',
  async stop() {
    for (const runner of runners) await runner.close()
  },
})
