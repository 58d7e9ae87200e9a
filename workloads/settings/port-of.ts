import { AppError } from '../../lib/errors.ts'

/**
 * The port that a flag names.
 * @throws AppError InvalidArgument
 */
export function portOf(raw: number, flag: string): number {
  if (Number.isInteger(raw) && raw >= 0 && raw <= 65_535) return raw
  throw new AppError('InvalidArgument', `--${flag}: ${raw} must be a port, 0 to 65535`)
}
