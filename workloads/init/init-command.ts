import { AppError } from '../../lib/errors.ts'
import { delimiterArgument } from '../files/csv-header.ts'
import { type Format, inputFiles } from '../files/input-files.ts'
import type { InputRecord } from '../files/input-record.ts'
import { readEvents } from '../files/read-events.ts'
import { writeWhole } from '../files/whole-file.ts'
import { guessMapping } from './guess-mapping.ts'
import { pipelineText } from './pipeline-text.ts'

export interface InitArguments {
  readonly input: string
  readonly format?: Format | undefined
  readonly delimiter?: string | undefined
  readonly output?: string | undefined
}

const sampleRows = 1000

/** Writes a pipeline for the events of a file. @throws AppError */
export async function initCommand(args: InitArguments): Promise<void> {
  const files = inputFiles([args.input], args.format)
  const records: InputRecord[] = []
  for await (const rows of readEvents(files, { delimiter: delimiterArgument(args.delimiter) })) {
    for (const row of rows) if (row.rejection === undefined && records.length < sampleRows) records.push(row)
    if (records.length === sampleRows) break
  }
  if (records.length === 0) throw new AppError('InvalidArgument', `${args.input}: no event can be read`)
  const mapping = guessMapping(records)
  const text = pipelineText({ name: nameOf(args.input), source: args.input, rows: records.length, mapping })
  if (args.output === undefined) process.stdout.write(text)
  else writeWhole(args.output, text)
}

/** A name that Kubernetes takes. */
function nameOf(path: string): string {
  const file = path.slice(path.lastIndexOf('/') + 1).replace(/\..*$/, '')
  const name = file
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+|-+$/g, '')
    .slice(0, 40)
    .replace(/-+$/, '')
  return name === '' ? 'events' : name
}
