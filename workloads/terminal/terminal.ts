import type { Look } from './status-line.ts'

/** A line on stderr that is overwritten in place; on anything but a terminal it is not shown. */
export interface LiveLine {
  readonly look: Look
  readonly isShown: boolean
  show(line: string): void
  /** Removes the line, so that others can be written in its place. */
  clear(): void
}

/** How lines look on one of this process's streams. */
export function lookOf(stream: NodeJS.WriteStream): Look {
  const terminal = stream.isTTY === true
  return {
    get columns() {
      return terminal ? stream.columns || 80 : Number.POSITIVE_INFINITY
    },
    // hasColors() minds NO_COLOR.
    colour: terminal && stream.hasColors(),
  }
}

export function createLiveLine(stream: NodeJS.WriteStream = process.stderr): LiveLine {
  const isShown = stream.isTTY === true
  let last = ''
  return {
    look: lookOf(stream),
    isShown,
    show(line) {
      if (!isShown || line === last) return
      last = line
      stream.write(`\r\u001b[2K${line}`)
    },
    clear() {
      if (!isShown || last === '') return
      last = ''
      stream.write('\r\u001b[2K')
    },
  }
}
