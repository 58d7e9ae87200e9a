import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError, messageOf } from '../../lib/errors.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { measureDecisions } from './measure-decisions.ts'
import { measureSeasons, measureSensors } from './measure-generated.ts'
import { measureKpi } from './measure-kpi.ts'
import { measureNab } from './measure-nab.ts'
import { measureTabular } from './measure-tabular.ts'
import { measureTransactions } from './measure-transactions.ts'
import { type Measurement, measurementText } from './measurement.ts'
import { lossesOf, referenceOf, withTable } from './reference.ts'

/**
 * How well the shipped pipelines detect what is labelled in a folder of collections. Prints a line for each, and fails
 * where a figure is worse by more than a point than in the table of docs/quality.md.
 */

const manifests = join(import.meta.dirname, '../../manifests/pipelines')
const documentFile = join(import.meta.dirname, '../../docs/quality.md')

interface Source {
  /** Folder of the collections. */
  readonly data: string
  readonly python: string
}

const pipeline = (name: string) => loadPipeline(join(manifests, `${name}.yaml`))

const collections: Readonly<Record<string, (source: Source) => AsyncGenerator<Measurement>>> = {
  async *nab({ data }) {
    yield await measureNab(join(data, 'nab'), await pipeline('timeseries'))
  },
  async *kpi({ data }) {
    for (const perMillion of [1000, 300])
      yield await measureKpi(join(data, 'kpi'), await pipeline('timeseries'), perMillion)
  },
  async *transactions({ data }) {
    yield* measureTransactions(join(data, 'transactions'), await pipeline('transactions'))
  },
  async *tabular({ data, python }) {
    yield* measureTabular(join(data, 'tabular'), await pipeline('tabular'), { python })
  },
  async *seasons() {
    yield await measureSeasons(await pipeline('timeseries'))
  },
  async *sensors() {
    yield* measureSensors(await pipeline('timeseries'))
  },
  async *decisions() {
    yield* measureDecisions(await pipeline('payments'))
  },
}
/** Generated: they need no data. */
const generated: readonly string[] = ['seasons', 'sensors', 'decisions']

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string', default: '' },
      only: { type: 'string', default: Object.keys(collections).join() },
      python: { type: 'string', default: 'python3' },
      json: { type: 'boolean' },
      write: { type: 'boolean' },
    },
  })
  const { data, json, python } = values
  const wanted = values.only.split(',')
  const unknown = wanted.filter((name) => collections[name] === undefined)
  if (unknown.length > 0)
    throw new AppError('InvalidArgument', `${unknown}: the collections are ${Object.keys(collections).join(', ')}`)
  const labelled = wanted.filter((name) => !generated.includes(name))
  if (labelled.length > 0 && data === '')
    throw new AppError('InvalidArgument', 'No data: say where the collections are, as in make quality DATA=FOLDER')
  const absent = labelled.filter((name) => !existsSync(join(data, name)))
  if (absent.length > 0)
    throw new AppError(
      'NotFound',
      `${data}: a folder with ${labelled.join(', ')} is expected; ${absent.join(', ')}: absent`,
    )
  if (!json)
    console.log('Each figure: the pipeline (a plain z-score on the same events, a batch forest where Python has one)')
  const measurements: Measurement[] = []
  for (const name of wanted)
    for await (const measurement of collections[name]!({ data, python })) {
      measurements.push(measurement)
      console.log(json ? JSON.stringify(measurement) : measurementText(measurement))
    }
  const document = readFileSync(documentFile, 'utf8')
  if (values.write) return writeFileSync(documentFile, withTable(document, measurements))
  const losses = lossesOf(measurements, referenceOf(document))
  if (losses.length > 0) throw new AppError('InvalidArgument', `worse than in docs/quality.md: ${losses.join('; ')}`)
}

main().catch((error: unknown) => {
  console.error(messageOf(error))
  process.exitCode = error instanceof AppError ? error.exitCode : 1
})
