import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { backtest } from '../../workloads/backtest/backtest.ts'
import { inputFiles } from '../../workloads/files/input-files.ts'
import { LineWriter } from '../../workloads/files/line-writer.ts'
import { bareLoop } from './bare-loop.ts'

/** Child process for one run over a file of events, so that each begins with a fresh heap. */
export interface RunOrder {
  readonly job: 'backtest' | 'bare'
  readonly input: string
  readonly output: string
  readonly events: number
}

export interface RunReport {
  readonly seconds: number
  readonly cpuSeconds: number
  /** Resident memory after 1 %, 2 %, … of the events, in bytes. */
  readonly rss: readonly number[]
}

process.on('message', async ({ job, input, output, events }: RunOrder) => {
  const rss: number[] = []
  const every = Math.floor(events / 100)
  let seen = 0
  const count = () => {
    if (++seen % every === 0) rss.push(process.memoryUsage.rss())
  }
  const began = process.hrtime.bigint()
  if (job === 'bare') await bareLoop(input, output, count)
  else await judge(input, output, count)
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  if (seen !== events) throw new Error(`Cannot use this run: ${seen} of ${events} events came through`)
  const { user, system } = process.cpuUsage()
  process.send!({ seconds, cpuSeconds: (user + system) / 1e6, rss } satisfies RunReport)
})

/** `anomaly backtest` with the default detectors. */
async function judge(input: string, output: string, onEvent: () => void): Promise<void> {
  const pipeline = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'bench' },
    spec: { source: { brokers: ['localhost:9092'] } },
  })
  const lines = new LineWriter(output)
  await backtest({
    pipeline,
    files: inputFiles([input]),
    onEvent: ({ json }) => {
      lines.write(json)
      onEvent()
    },
  })
  lines.close()
}
