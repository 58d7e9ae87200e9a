import type { CsvOptions } from './csv-header.ts'
import type { InputFile } from './input-files.ts'
import type { InputRecord } from './input-record.ts'
import { readCsv } from './read-csv.ts'
import { readJson } from './read-json.ts'
import type { ReadOptions } from './read-lines.ts'

export type ReadEventsOptions = ReadOptions & CsvOptions

/** The rows of all files, interleaved by position: first rows first. Arrays of rows, for speed. */
export async function* readEvents(
  files: readonly InputFile[],
  options: ReadEventsOptions = {},
): AsyncGenerator<readonly InputRecord[]> {
  if (files.length === 1) {
    yield* readFile(files[0]!, options)
    return
  }
  let open = files.map((file) => ({ rows: readFile(file, options), chunk: [] as readonly InputRecord[], at: 0 }))
  while (open.length > 0) {
    const interleaved: InputRecord[] = []
    while (interleaved.length < 1000 && open.length > 0) {
      let ended = false
      for (const file of open) {
        while (file.at === file.chunk.length) {
          const next = await file.rows.next()
          if (next.done === true) {
            file.at = -1
            ended = true
            break
          }
          file.chunk = next.value
          file.at = 0
        }
        if (file.at >= 0) interleaved.push(file.chunk[file.at++]!)
      }
      if (ended) open = open.filter((file) => file.at >= 0)
    }
    yield interleaved
  }
}

function readFile(file: InputFile, options: ReadEventsOptions): AsyncGenerator<readonly InputRecord[]> {
  return file.format === 'csv' ? readCsv(file, options) : readJson(file, options)
}
