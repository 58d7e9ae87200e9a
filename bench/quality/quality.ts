import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError, messageOf } from '../../lib/errors.ts'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { measureDecisions } from './measure-decisions.ts'
import { measureNab } from './measure-nab.ts'
import { measureTabular } from './measure-tabular.ts'
import { measureTransactions } from './measure-transactions.ts'
import { type Measurement, measurementText } from './measurement.ts'

/** How well the shipped pipelines detect what is labelled in a folder of collections. Prints a line for each. */

const manifests = join(import.meta.dirname, '../../manifests/pipelines')

const pipeline = (name: string) => loadPipeline(join(manifests, `${name}.yaml`))

async function* measure(data: string): AsyncGenerator<Measurement> {
  yield await measureNab(join(data, 'nab'), await pipeline('timeseries'))
  yield* measureTabular(join(data, 'tabular'), await pipeline('tabular'))
  yield await measureTransactions(join(data, 'transactions'), await pipeline('transactions'))
  yield* decisions()
}

/** Needs no data. */
async function* decisions(): AsyncGenerator<Measurement> {
  yield* measureDecisions(await pipeline('payments'))
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { data: { type: 'string', default: '' }, json: { type: 'boolean' }, decisions: { type: 'boolean' } },
  })
  const { data, json } = values
  if (values.decisions) return print(decisions(), json)
  if (data === '')
    throw new AppError('InvalidArgument', 'No data: say where the collections are, as in make quality DATA=FOLDER')
  const absent = ['nab', 'tabular', 'transactions'].filter((folder) => !existsSync(join(data, folder)))
  if (absent.length > 0)
    throw new AppError(
      'NotFound',
      `${data}: a folder with nab, tabular and transactions is expected; ${absent.join(', ')}: absent`,
    )
  if (!json) console.log('Each figure: the pipeline (a plain exponentially weighted z-score on the same events)')
  await print(measure(data), json)
}

async function print(measurements: AsyncIterable<Measurement>, json: boolean | undefined): Promise<void> {
  for await (const measurement of measurements)
    console.log(json ? JSON.stringify(measurement) : measurementText(measurement))
}

main().catch((error: unknown) => {
  console.error(messageOf(error))
  process.exitCode = error instanceof AppError ? error.exitCode : 1
})
