import {
  chmodSync,
  closeSync,
  lstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'
import { outputFailed } from './line-writer.ts'

/** Why a file cannot be replaced that can be written: its folder is closed, or it is a mount of its own. */
const irreplaceable: readonly unknown[] = ['EACCES', 'EBUSY', 'ENAMETOOLONG', 'EPERM', 'EROFS']

/** Finds out whether the file could be written, and changes nothing. @throws AppError OutputFailed */
export function checkWritable(path: string): void {
  try {
    const { place, stats } = placeOf(path)
    if (stats !== undefined) closeSync(openSync(place, 'a'))
    else withFileBeside(place, (beside) => writeFileSync(beside, '', { flag: 'wx' }))
  } catch (error) {
    throw outputFailed(path, error)
  }
}

/**
 * Replaces the file by the whole text, or leaves what was there; a device, or a file that only can be written, gets what
 * it gets. @throws AppError OutputFailed
 */
export function writeWhole(path: string, text: string): void {
  try {
    const { place, stats } = placeOf(path)
    if (isStream(path, stats)) {
      writeFileSync(place, text)
      return
    }
    try {
      withFileBeside(place, (beside) => {
        writeFileSync(beside, text, { flag: 'wx', mode: stats?.mode })
        if (stats !== undefined) chmodSync(beside, stats.mode)
        renameSync(beside, place)
      })
    } catch (error) {
      if (stats === undefined || !irreplaceable.includes((error as NodeJS.ErrnoException).code)) throw error
      writeFileSync(place, text)
    }
  } catch (error) {
    throw outputFailed(path, error)
  }
}

/** The file that the path leads to, and what is there. */
function placeOf(path: string): { readonly place: string; readonly stats: Stats | undefined } {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats !== undefined) return { place: isStream(path, stats) ? path : realpathSync(path), stats }
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return { place: path, stats }
  return placeOf(resolve(dirname(path), readlinkSync(path)))
}

/** /dev/stdout may be a file, which others write to as well. */
function isStream(path: string, stats: Stats | undefined): boolean {
  return stats?.isFile() === false || path.startsWith('/dev/')
}

function withFileBeside(place: string, use: (beside: string) => void): void {
  const beside = `${place}.${process.pid}.part`
  try {
    use(beside)
  } finally {
    rmSync(beside, { force: true })
  }
}
