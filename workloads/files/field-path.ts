import { AppError } from '../../lib/errors.ts'
import { isFieldPath } from '../../lib/pipeline/spec.ts'

/** @throws AppError InvalidArgument unless the flag's value can be the path of a field */
export function checkFieldPath(flag: '--label' | '--key', path: string): void {
  if (!isFieldPath(path))
    throw new AppError('InvalidArgument', `${flag} ${path}: must be the name of a field, dotted where nested`)
}
