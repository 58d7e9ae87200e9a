import { closeSync, openSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { outputFailed } from './line-writer.ts'

/** Finds out whether the file could be written, and changes nothing. @throws AppError OutputFailed */
export function checkWritable(path: string): void {
  withPlace(path, (place, beside) => {
    if (place !== undefined) closeSync(openSync(place, 'a'))
    if (beside !== undefined) writeFileSync(beside, '', { flag: 'wx' })
  })
}

/** Replaces the file by the whole text, or leaves what was there. @throws AppError OutputFailed */
export function writeWhole(path: string, text: string): void {
  withPlace(path, (place, beside) => {
    if (beside === undefined) {
      writeFileSync(path, text)
      return
    }
    writeFileSync(beside, text, { flag: 'wx' })
    renameSync(beside, place ?? path)
  })
}

/**
 * @param use gets the file if it exists, links followed, and the name beside it that becomes the file when it is whole.
 *   A device has none: what it gets, it has.
 */
function withPlace(path: string, use: (place: string | undefined, beside: string | undefined) => void): void {
  let beside: string | undefined
  try {
    const stats = statSync(path, { throwIfNoEntry: false })
    const place = stats && realpathSync(path)
    if (stats?.isFile() !== false) beside = `${place ?? path}.${process.pid}.part`
    use(place, beside)
  } catch (error) {
    throw outputFailed(path, error)
  } finally {
    if (beside !== undefined) rmSync(beside, { force: true })
  }
}
