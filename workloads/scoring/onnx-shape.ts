import type { ResolvedOnnx } from '../../lib/pipeline/resolve-pipeline.ts'

/** A dimension that is not fixed has a name, or none. */
export interface OnnxTensor {
  readonly name: string
  /** Absent for what is no tensor. */
  readonly type?: string | undefined
  readonly shape?: readonly (number | string | undefined)[] | undefined
}

export interface OnnxShape {
  readonly inputs: readonly OnnxTensor[]
  readonly outputs: readonly OnnxTensor[]
}

const isFixed = (dimension: number | string | undefined): dimension is number => typeof dimension === 'number'

/** Why a model does not fit what the pipeline says of it, or undefined. */
export function shapeProblem({ inputs, outputs }: OnnxShape, detector: ResolvedOnnx): string | undefined {
  const [input] = inputs
  if (input === undefined || inputs.length > 1)
    return `the model has ${inputs.length} inputs (${namesOf(inputs)}): one is asked for, rows of numbers`
  if (input.type !== 'float32' && input.type !== 'float64')
    return `the input ${input.name} takes ${input.type ?? 'no tensor'}: float32 or float64 is asked for`
  const [batch, width, ...more] = input.shape ?? []
  const wanted = detector.inputs.length
  if (input.shape?.length !== 2 || more.length > 0)
    return `the input ${input.name} has ${input.shape?.length} dimensions: two are asked for, rows and columns`
  if (isFixed(width) && width !== wanted)
    return `the input ${input.name} takes ${width} columns, and the pipeline names ${wanted}: ${detector.inputs.join(', ')}`
  if (isFixed(batch))
    return `the input ${input.name} takes ${batch} rows at a time: export it with a dynamic first dimension`
  const { output: named, kind } = detector
  const output =
    named === undefined
      ? outputs.find(({ type }) => type?.startsWith('float'))
      : outputs.find(({ name }) => name === named)
  if (output === undefined)
    return named === undefined
      ? `no output of the model is float32 or float64: ${namesOf(outputs)}`
      : `the model has no output ${named}: ${namesOf(outputs)}`
  if (output.type !== 'float32' && output.type !== 'float64')
    return `the output ${output.name} gives ${output.type ?? 'no tensor'}: float32 or float64 is asked for`
  const last = output.shape?.length === 2 ? output.shape[1] : undefined
  if (kind === 'Reconstruction' && isFixed(last) && last !== wanted)
    return `the output ${output.name} gives ${last} numbers a row: a reconstruction has ${wanted}, as the input`
  if (kind === 'Score' && isFixed(last) && last !== 1)
    return `the output ${output.name} gives ${last} numbers a row: a score is one`
  return undefined
}

const namesOf = (tensors: readonly OnnxTensor[]): string => tensors.map(({ name }) => name).join(', ') || 'none'
