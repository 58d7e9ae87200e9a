import { expect } from 'chai'
import type { OutgoingRecord, RecordBatch } from '../../lib/kafka/records.ts'
import type { EventStream, StreamHandler } from './stream.ts'

export interface OpenStream {
  readonly stream: EventStream
  /** Appends records with these values to a partition, 0 or 1. */
  append(partition: number, values: readonly string[]): Promise<void> | void
  /** What took effect so far, in order within a partition. */
  produced(): Promise<readonly OutgoingRecord[]> | readonly OutgoingRecord[]
  close(): Promise<void> | void
}

type Call = readonly [name: 'assigned' | 'batch' | 'committed' | 'dropped' | 'revoked', partition: number]

/** Answers each record with one that has its value, and keeps the order of all calls. */
function recordingHandler(change: Partial<StreamHandler> = {}) {
  const calls: Call[] = []
  const batches: RecordBatch[] = []
  const values: string[][] = [[], []]
  /** Batches that have not taken effect yet. */
  const pending: RecordBatch[][] = [[], []]
  let changed: (() => void) | undefined
  const handler: StreamHandler = {
    async assigned(partition) {
      calls.push(['assigned', partition])
    },
    async batch(batch, signal) {
      calls.push(['batch', batch.partition])
      batches.push(batch)
      pending[batch.partition]!.push(batch)
      const produced = await change.batch?.(batch, signal)
      return produced ?? batch.records.map(({ key, value }) => ({ topic: 'verdicts', key, value }))
    },
    committed(partition) {
      calls.push(['committed', partition])
      for (const { records } of pending[partition]!.splice(0))
        for (const { value } of records) values[partition]!.push(String(value))
      changed?.()
    },
    dropped(partition) {
      calls.push(['dropped', partition])
      pending[partition] = []
    },
    async releasing() {},
    revoked(partition) {
      calls.push(['revoked', partition])
    },
  }
  return {
    handler,
    calls,
    batches,
    /** Values of the records that took effect, by partition. */
    values,
    /** Settles when so many records took effect. */
    async handled(count: number): Promise<void> {
      while (values.flat().length < count)
        await new Promise<void>((resolve) => {
          changed = resolve
        })
    },
  }
}

/** Consumes until the work is done; a stream that gives up on a handler's failure is consumed again. */
async function consumeUntil(stream: EventStream, handler: StreamHandler, done: () => Promise<void>): Promise<void> {
  const stop = new AbortController()
  const consuming = (async () => {
    while (!stop.signal.aborted) await stream.consume(handler, { signal: stop.signal }).catch(() => {})
  })()
  await done()
  stop.abort()
  await consuming
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${from + i}`)

/** What every stream promises to its handler, whatever its records are kept in. */
export function behavesAsStream(open: () => Promise<OpenStream> | OpenStream): void {
  let opened: OpenStream
  beforeEach(async () => {
    opened = await open()
  })
  afterEach(() => opened.close())

  it('hands over the records of each partition in order, each once, with ascending offsets', async () => {
    await opened.append(0, numbers(0, 1200))
    await opened.append(1, numbers(1200, 1300))
    const { handler, batches, values, handled } = recordingHandler()
    await consumeUntil(opened.stream, handler, () => handled(1300))
    expect(values).to.deep.equal([numbers(0, 1200), numbers(1200, 1300)])
    for (const partition of [0, 1]) {
      const offsets = batches.filter((batch) => batch.partition === partition).flatMap(({ records }) => records)
      for (let i = 1; i < offsets.length; i++) expect(offsets[i]!.offset).to.equal(offsets[i - 1]!.offset + 1)
    }
  })

  it('makes what batches produce take effect, each once', async () => {
    await opened.append(0, numbers(0, 700))
    const { handler, handled } = recordingHandler()
    await consumeUntil(opened.stream, handler, () => handled(700))
    const produced = await opened.produced()
    expect(produced.map(({ topic, value }) => [topic, String(value)])).to.deep.equal(
      numbers(0, 700).map((value) => ['verdicts', value]),
    )
  })

  it('hands over what comes while it consumes', async () => {
    const { handler, values, handled } = recordingHandler()
    await consumeUntil(opened.stream, handler, async () => {
      await opened.append(0, ['early'])
      await handled(1)
      await opened.append(0, ['late'])
      await handled(2)
    })
    expect(values[0]).to.deep.equal(['early', 'late'])
  })

  it('assigns a partition before its first batch, and revokes it after the last has taken effect', async () => {
    await opened.append(0, numbers(0, 1200))
    const { handler, calls, handled } = recordingHandler()
    await consumeUntil(opened.stream, handler, () => handled(1200))
    const own = calls.filter(([, partition]) => partition === 0).map(([name]) => name)
    expect(own[0]).to.equal('assigned')
    expect(own.slice(-2)).to.deep.equal(['committed', 'revoked'])
    expect(new Set(own.slice(1, -1))).to.deep.equal(new Set(['batch', 'committed']))
  })

  it('never calls for a partition while a call for it is under way', async () => {
    await opened.append(0, numbers(0, 1500))
    let underway = 0
    let most = 0
    const { handler, handled } = recordingHandler({
      async batch({ records }) {
        most = Math.max(most, ++underway)
        for (let i = 0; i < 3; i++) await new Promise(setImmediate)
        underway--
        return records.map(({ key, value }) => ({ topic: 'verdicts', key, value }))
      },
    })
    await consumeUntil(opened.stream, handler, () => handled(1500))
    expect(most).to.equal(1)
  })

  it('drops a batch that fails, and hands it over again', async () => {
    await opened.append(0, numbers(0, 10))
    let failures = 0
    const { handler, calls, batches, values, handled } = recordingHandler({
      async batch({ records }) {
        if (failures++ < 2) throw new Error('the handler fails')
        return records.map(({ key, value }) => ({ topic: 'verdicts', key, value }))
      },
    })
    await consumeUntil(opened.stream, handler, () => handled(10))
    expect(calls.filter(([name]) => name === 'dropped')).to.have.length(2)
    expect(batches[2]!.records.map(({ offset }) => offset)).to.deep.equal(
      batches[0]!.records.map(({ offset }) => offset),
    )
    expect(values[0]).to.deep.equal(numbers(0, 10))
    expect(await opened.produced()).to.have.length(10)
  })

  it('finishes the batch in hand when it is to stop, and begins no other', async () => {
    await opened.append(0, numbers(0, 3000))
    const stop = new AbortController()
    const { handler, calls, batches } = recordingHandler({
      async batch({ records }) {
        stop.abort()
        await new Promise(setImmediate)
        return records.map(({ key, value }) => ({ topic: 'verdicts', key, value }))
      },
    })
    await opened.stream.consume(handler, { signal: stop.signal })
    const own = calls.filter(([, partition]) => partition === 0).map(([name]) => name)
    expect(own).to.deep.equal(['assigned', 'batch', 'committed', 'revoked'])
    expect(await opened.produced()).to.have.length(batches[0]!.records.length)
  })

  it('does nothing where it is to stop already', async () => {
    await opened.append(0, ['waiting'])
    const { handler, calls } = recordingHandler()
    await opened.stream.consume(handler, { signal: AbortSignal.abort() })
    expect(calls).to.deep.equal([])
  })
}
