/** What a benchmark printed. */
export type Result = Readonly<Record<string, unknown>>

export interface Target {
  readonly bench: string
  /** What is aimed at, as a person reads it. */
  readonly aim: string
  /** Where the number stands in the result, such as `ours.eventsPerSecond.median`; of a spread its median is taken. */
  readonly at: string
  readonly atLeast?: number
  readonly atMost?: number
}

export const targets: readonly Target[] = [
  {
    bench: 'backtest',
    aim: 'backtest on 1 M events: >= 0.30 of a bare read, parse, write loop',
    at: 'ratio',
    atLeast: 0.3,
  },
  {
    bench: 'backtest',
    aim: 'backtest: memory at the end <= 1.1 of that at 30 % of the events',
    at: 'rssGrowth',
    atMost: 1.1,
  },
  { bench: 'forest', aim: 'forest scoring: >= 0.75 of the same walk in C', at: 'ratio', atLeast: 0.75 },
  { bench: 'discord', aim: 'discord: <= 12 µs a point', at: 'microsecondsPerPoint', atMost: 12 },
  { bench: 'discord', aim: 'discord: <= 8 KB a key', at: 'bytesPerKey', atMost: 8192 },
  { bench: 'rest', aim: 'REST detect in one process: >= 0.7 of bare express', at: 'ratio', atLeast: 0.7 },
  { bench: 'pipeline', aim: 'pipeline: >= 1.0 of the stock loop in events/s', at: 'ratio', atLeast: 1 },
  { bench: 'pipeline', aim: 'pipeline: <= 1.0 of the stock loop in CPU an event', at: 'cpuRatio', atMost: 1 },
  { bench: 'pipeline', aim: 'pipeline: >= 15 times the per-event mode', at: 'perEventRatio', atLeast: 15 },
  { bench: 'pipeline', aim: 'Redis: <= 0.1 commands an event at 10 k keys', at: 'redisCommandsPerEvent', atMost: 0.1 },
  { bench: 'pipeline', aim: 'Redis: <= 1 read a partition batch', at: 'redisReadsPerBatch', atMost: 1 },
  { bench: 'pipeline', aim: 'Redis: <= 1 write a partition batch', at: 'redisWritesPerBatch', atMost: 1 },
  { bench: 'pipeline', aim: 'Redis: >= 60 % of look-ups saved at 10 k keys', at: 'lookupsSaved', atLeast: 0.6 },
  { bench: 'pipeline', aim: 'idle consumer: <= 0.5 % CPU', at: 'idleCpuPercent', atMost: 0.5 },
  { bench: 'latency', aim: '1,000 events/s: p50 <= 30 ms', at: 'at1000.p50', atMost: 30 },
  { bench: 'latency', aim: '1,000 events/s: p95 <= 120 ms (the promise)', at: 'at1000.p95', atMost: 120 },
  { bench: 'latency', aim: '1,000 events/s: p99 <= 60 ms', at: 'at1000.p99', atMost: 60 },
  { bench: 'latency', aim: '10,000 events/s: p50 <= 30 ms', at: 'at10000.p50', atMost: 30 },
  { bench: 'latency', aim: '10,000 events/s: p95 <= 120 ms (the promise)', at: 'at10000.p95', atMost: 120 },
  { bench: 'latency', aim: '10,000 events/s: p99 <= 60 ms', at: 'at10000.p99', atMost: 60 },
  { bench: 'score-rows', aim: 'ScoreRows: >= 8 times the map-shaped RPC in rows/s', at: 'ratio', atLeast: 8 },
  { bench: 'score-rows', aim: 'ScoreRows: <= 70 bytes a row at 8 features', at: 'bytesPerRow', atMost: 70 },
  {
    bench: 'rest-distributed',
    aim: 'REST detect with gRPC, Redis and the produced event: >= 0.4 of bare express at 64 connections',
    at: 'ratio',
    atLeast: 0.4,
  },
  {
    bench: 'rest-distributed',
    aim: 'REST batch: >= 10 times the single one in events/s',
    at: 'batchRatio',
    atLeast: 10,
  },
  {
    bench: 'history',
    aim: 'recorder: >= 20,000 verdicts/s into PostgreSQL',
    at: 'recorder.verdictsPerSecond',
    atLeast: 20_000,
  },
  { bench: 'startup', aim: 'start of `anomaly --help`: <= 5 times that of `node -e 0`', at: 'ratio', atMost: 5 },
  {
    bench: 'state-memory',
    aim: 'state of the default detectors: <= 200 bytes a key of 8 features at 1 M keys',
    at: 'bytesPerKey',
    atMost: 200,
  },
]

/** What `make bench` leaves out, and how to measure it. */
export const unmeasured: readonly string[] = ['RSS flat (±5 %) under load: `make soak`. Over most of an hour, below']

/** The number at a path of a result; undefined where there is none. */
export function numberAt(result: Result, path: string): number | undefined {
  let at: unknown = result
  for (const step of path.split('.')) at = (at as Record<string, unknown> | undefined)?.[step]
  const number = typeof at === 'object' && at !== null ? (at as { median?: unknown }).median : at
  return typeof number === 'number' ? number : undefined
}

export function isReached(
  { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY }: Target,
  number: number,
) {
  return number >= atLeast && number <= atMost
}
