import { fork } from 'node:child_process'
import { once } from 'node:events'
import { parsePipeline } from '../lib/pipeline/parse-pipeline.ts'
import type { Event } from '../workloads/detection/event.ts'
import { FeatureSchema } from '../workloads/detection/feature-schema.ts'
import { random } from '../workloads/detection/random.ts'
import { Partition } from '../workloads/judging/partition.ts'
import { createDecode, isEvent, latestPlausibleTime } from '../workloads/wire/decode.ts'

/**
 * Memory that the state of keys takes with the default detectors: growth of the process and of what lives in it, in
 * bytes a key (thus also in KB per 1,000 keys). The baseline keeps the location and spread of the same numbers in plain
 * objects in a Map, and nothing else. KEYS in the environment makes it shorter.
 */

const keys = Number(process.env.KEYS ?? 1_000_000)
const eventsPerKey = 2
const batchSize = 500
const names = Array.from({ length: 8 }, (_, feature) => `feature${feature + 1}`)

interface Bytes {
  readonly bytesPerKey: number
  readonly rssBytesPerKey: number
}

if (process.send === undefined) {
  const [own, baseline] = [await inChild('own'), await inChild('baseline')]
  console.log(
    JSON.stringify({
      bench: 'state-memory',
      keys,
      features: names.length,
      ...own,
      target: '200 bytes a key = 0.2 MB per 1,000 keys',
      baseline: 'a Map of plain objects with two numbers a field',
      baselineBytesPerKey: baseline.bytesPerKey,
      ratio: Number((own.bytesPerKey / baseline.bytesPerKey).toPrecision(3)),
    }),
  )
} else {
  process.send(process.argv[2] === 'own' ? measure() : measureBaseline())
  process.disconnect()
}

async function inChild(what: 'own' | 'baseline'): Promise<Bytes> {
  const child = fork(import.meta.filename, [what], { execArgv: ['--expose-gc'] })
  const [bytes] = await once(child, 'message')
  return bytes
}

function measureBaseline(): Bytes {
  const chance = random('state-memory.bench')
  const fields = ['value', 'interval', ...names]
  const before = memory()
  const state = new Map<string, object>()
  for (let user = 0; user < keys; user++) {
    const { key } = JSON.parse(`{"key":"user-${user}"}`) as { key: string }
    state.set(key, Object.fromEntries(fields.map((field) => [field, { mean: chance.next(), variance: chance.next() }])))
  }
  return perKey(before, memory(), state.size)
}

function measure(): Bytes {
  const pipeline = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'bench' },
    spec: { source: { brokers: ['localhost:9092'] } },
  })
  const schema = new FeatureSchema(names)
  const decode = createDecode(pipeline.spec.event, schema)
  const chance = random('state-memory.bench')
  /** From JSON, since text that comes out of longer text may keep all of that in memory. */
  const eventOf = (user: number): Event => {
    const features = names.map((name) => `"${name}":${chance.next()}`).join()
    const json = `{"userId":"user-${user}","timestamp":1640000000,"value":${chance.next()},"features":{${features}}}`
    const event = decode(JSON.parse(json), {
      id: 'row-1',
      source: '',
      recordKey: undefined,
      arrival: Number.NaN,
      latest: latestPlausibleTime,
    })
    if (!isEvent(event)) throw new Error('Cannot use this run: an event was not understood')
    return event
  }
  const partition = new Partition(pipeline, { schema })
  const observe = (from: number, to: number) => {
    for (let user = from; user < to; user += batchSize) {
      const batch = partition.observe(
        Array.from({ length: Math.min(batchSize, to - user) }, (_, i) => eventOf(user + i)),
      )
      partition.decide(batch, undefined)
    }
  }
  // Code and shared calibrations are no part of a key's state.
  const warm = Math.min(10_000, keys / 10)
  for (let round = 0; round < 5; round++) observe(0, warm)
  const before = memory()
  for (let round = 0; round < eventsPerKey; round++) observe(round === 0 ? warm : 0, keys)
  const after = memory()
  if (partition.keys !== keys) throw new Error(`Cannot use this run: ${partition.keys} of ${keys} keys were kept`)
  return perKey(before, after, keys - warm)
}

function perKey(before: Memory, after: Memory, keys: number): Bytes {
  return {
    bytesPerKey: Math.round((after.live - before.live) / keys),
    rssBytesPerKey: Math.round((after.rss - before.rss) / keys),
  }
}

type Memory = ReturnType<typeof memory>

function memory() {
  for (let i = 0; i < 3; i++) globalThis.gc!()
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
  return { rss, live: heapUsed + arrayBuffers }
}
