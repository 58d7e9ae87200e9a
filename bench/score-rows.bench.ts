import { fork } from 'node:child_process'
import { once } from 'node:events'
import { credentials } from '@grpc/grpc-js'
import { random } from '../workloads/detection/random.ts'
import { ScoreRowsRequest } from '../workloads/gen/anomaly/v1/scoring.ts'
import { AnomalyDetectionServiceClient, AnomalyRequest } from '../workloads/gen/anomaly_detection.ts'
import { createGrpcScorer } from '../workloads/scoring/grpc.ts'
import { packNumbers, schemaIdOf } from '../workloads/scoring/packed-rows.ts'

/**
 * Rows a second of ScoreRows (batches of 500 packed rows, two under way) against the map-shaped batch RPC (one stream),
 * both with 8 features and a fitted forest of 100 trees. The server is a process of its own; the two take turns.
 * `ROUNDS` and `SECONDS` change the length.
 */

const rounds = Number(process.env.ROUNDS ?? 5)
const seconds = Number(process.env.SECONDS ?? 2)
const batchRows = 500

const names = ['amount', 'distance', 'hour', 'merchants', 'velocity', 'age', 'balance', 'declined']
const child = fork(new URL('./score-rows/server.ts', import.meta.url), [JSON.stringify(names)])
const hear = async <T>(): Promise<T> => (await once(child, 'message'))[0] as T
const cpuMs = async (): Promise<number> => {
  child.send({})
  return (await hear<{ cpuMs: number }>()).cpuMs
}
const { port } = await hear<{ port: number }>()
const address = `127.0.0.1:${port}`

const chance = random('score-rows')
const rows = Float64Array.from({ length: batchRows * names.length }, () => chance.next())
const batch = { columns: names, rows, count: batchRows, explainFrom: 4 }
const requests = Array.from(
  { length: batchRows },
  (_, row): AnomalyRequest => ({
    eventId: `event-${row}`,
    timestamp: 1_763_836_800_000 + row,
    userId: `user-${row % 100}`,
    features: Object.fromEntries(names.map((name, column) => [name, rows[row * names.length + column]!])),
    modelVersion: '',
  }),
)

const scorer = createGrpcScorer({ address })
const maps = new AnomalyDetectionServiceClient(address, credentials.createInsecure())

async function packedRows(ends: number): Promise<number> {
  let done = 0
  const caller = async () => {
    for (; performance.now() < ends; done += batchRows) await scorer.score(batch)
  }
  await Promise.all([caller(), caller()])
  return done
}

async function mapRows(ends: number): Promise<number> {
  let done = 0
  const call = maps.detectAnomalyBatch()
  call.on('data', () => done++)
  const ended = once(call, 'end')
  while (performance.now() < ends) {
    let flows = true
    for (const request of requests) flows = call.write(request)
    await (flows ? new Promise((resolve) => setImmediate(resolve)) : once(call, 'drain'))
  }
  call.end()
  await ended
  return done
}

async function measure(send: (ends: number) => Promise<number>) {
  const cpuBefore = await cpuMs()
  const began = performance.now()
  const done = await send(began + seconds * 1000)
  const took = performance.now() - began
  return {
    rowsPerSecond: (done / took) * 1000,
    serverMicrosecondsPerRow: ((await cpuMs()) - cpuBefore) * (1000 / done),
  }
}

function spread(numbers: readonly number[]) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const [min, median, max] = [0, sorted.length >> 1, sorted.length - 1].map((i) => Number(sorted[i]!.toPrecision(3)))
  return { min, median, max }
}

type Measured = Awaited<ReturnType<typeof measure>>
const summary = (measured: readonly Measured[]) => ({
  rowsPerSecond: spread(measured.map(({ rowsPerSecond }) => rowsPerSecond)),
  serverMicrosecondsPerRow: spread(measured.map(({ serverMicrosecondsPerRow }) => serverMicrosecondsPerRow)),
})

while (!scorer.modelVersion.startsWith('forest-')) await packedRows(performance.now() + 200)
for (const send of [packedRows, mapRows]) await measure(send)
const measured: { packed: Measured; maps: Measured }[] = []
for (let round = 0; round < rounds; round++)
  measured.push({ packed: await measure(packedRows), maps: await measure(mapRows) })
scorer.stop()
maps.close()
child.kill()

const packedBytes = ScoreRowsRequest.encode({
  schemaId: schemaIdOf(names),
  rows: packNumbers(rows),
  explainFrom: 4,
  columns: [],
  scoreOnly: false,
  keyIds: Buffer.alloc(0),
}).finish().length
const mapBytes = requests.reduce((sum, request) => sum + AnomalyRequest.encode(request).finish().length, 0)

console.log(
  JSON.stringify({
    bench: 'score-rows',
    features: names.length,
    ratio: spread(measured.map(({ packed, maps }) => packed.rowsPerSecond / maps.rowsPerSecond)),
    bytesPerRow: Number((packedBytes / batchRows).toFixed(1)),
    scoreRows: summary(measured.map(({ packed }) => packed)),
    baseline: 'DetectAnomalyBatch: one stream of events with maps of features',
    baselineBytesPerRow: Number((mapBytes / batchRows).toFixed(1)),
    detectAnomalyBatch: summary(measured.map(({ maps }) => maps)),
  }),
)
