import type { InputFile } from './input-files.ts'
import { type InputRecord, recordAt } from './input-record.ts'
import { type Line, longestLine, type ReadOptions, readLines, tooLong } from './read-lines.ts'

/** An event a line; or a JSON array of events, over as many lines as it takes. */
export async function* readJson(file: InputFile, options: ReadOptions): AsyncGenerator<readonly InputRecord[]> {
  const { source } = file
  let line = 0
  let row = 0
  let array: JsonArray | undefined
  for await (const lines of readLines(file.path, options)) {
    const rows: InputRecord[] = []
    const add = (text: Line, at: number) => {
      const place = { source, row: ++row, line: at }
      rows.push(
        typeof text === 'string' ? recordAt(place, text) : { ...recordAt(place, text.text), rejection: text.rejection },
      )
    }
    for (const text of lines) {
      line++
      if (row === 0 && array === undefined && typeof text === 'string' && text.trimStart().startsWith('['))
        array = new JsonArray()
      if (array !== undefined && !array.isClosed) array.read(text, line, add)
      else if (typeof text !== 'string' || text.charCodeAt(0) > 32 || text.trim() !== '') add(text, line)
    }
    if (rows.length > 0) yield rows
  }
  const rest: InputRecord[] = []
  array?.end((text, at) => rest.push(recordAt({ source, row: ++row, line: at }, text as string)))
  if (rest.length > 0) yield rest
}

const structure = /["[\]{},]/g

/** Finds the elements of an array whose text comes line by line. No string goes over the end of a line. */
class JsonArray {
  isClosed = false
  #depth = 0
  #element = ''
  #line = 0
  #isTooLong = false

  read(line: Line, number: number, add: (element: Line, line: number) => void): void {
    if (typeof line !== 'string') {
      add(line, number)
      return
    }
    let from = 0
    structure.lastIndex = 0
    for (let token = structure.exec(line); token !== null && !this.isClosed; token = structure.exec(line)) {
      const [sign] = token
      if (sign === '"') structure.lastIndex = endOfString(line, token.index)
      else if (sign === '[' || sign === '{') {
        if (++this.#depth === 1) from = token.index + 1
      } else if (this.#depth === 1 && (sign === ',' || sign === ']')) {
        this.#append(line.slice(from, token.index), number)
        this.#flush(add)
        from = token.index + 1
        this.isClosed = sign === ']'
      } else if (sign !== ',') this.#depth--
    }
    if (!this.isClosed) this.#append(`${line.slice(from)}\n`, number)
  }

  /** What is left of an array that was never closed. */
  end(add: (element: Line, line: number) => void): void {
    if (!this.isClosed) this.#flush(add)
  }

  #append(text: string, line: number): void {
    if (this.#element === '') {
      if (text.trim() === '') return
      this.#line = line
    }
    if (this.#element.length + text.length > longestLine) this.#isTooLong = true
    else this.#element += text
  }

  #flush(add: (element: Line, line: number) => void): void {
    if (this.#element !== '') add(this.#isTooLong ? tooLong : this.#element.trim(), this.#line)
    this.#element = ''
    this.#isTooLong = false
  }
}

function endOfString(line: string, start: number): number {
  for (let at = start + 1; at < line.length; at++) {
    if (line[at] === '\\') at++
    else if (line[at] === '"') return at + 1
  }
  return line.length
}
