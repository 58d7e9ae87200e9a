import { AppError } from '../../lib/errors.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { checkFieldPath } from '../files/field-path.ts'
import type { InputFile } from '../files/input-files.ts'

/** What detection reads must not be the truth itself. @throws AppError InvalidArgument */
export function checkLabel(label: string, { spec: { event } }: Pipeline): void {
  checkFieldPath('--label', label)
  for (const field of ['id', 'time', 'key', 'value'] as const)
    if (event[field] === label)
      throw new AppError('InvalidArgument', `--label ${label}: the pipeline reads this field as the event's ${field}`)
}

/** Where none of the rows has a label. */
export function noLabels(label: string, files: readonly InputFile[]): AppError {
  const [first, ...others] = files.map(({ path }) => path)
  const inputs = others.length === 0 ? first : `${first} and ${others.length} more`
  return new AppError('InvalidArgument', `--label ${label}: no row of ${inputs} has a field ${label} of 0 or 1`)
}
