import { expect } from 'chai'
import { copyState, type StatePlace } from './copy-state.ts'
import type { RedisClient, RedisConnection } from './redis-connection.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }

/** A server with keys of the types given, which notes what is written. */
function placeWith(keys: Readonly<Record<string, string>>) {
  const written: string[] = []
  const marks = new Map<string, string>()
  const client = {
    get: async (name: string) => marks.get(name) ?? null,
    set: async (name: string, value: string) => void marks.set(name, value),
    scanBuffer: async () => ['0', Object.keys(keys).map((name) => Buffer.from(name))],
    type: async (name: Buffer) => keys[String(name)] ?? 'none',
    pttl: async () => -1,
    del: async (name: Buffer) => void written.push(`DEL ${name}`),
    call: async (command: string, name: Buffer) => void written.push(`${command} ${name}`),
    callBuffer: async () => [Buffer.from('value')],
  }
  const connection = {
    bulk: (command: (client: RedisClient) => Promise<unknown>) => command(client as unknown as RedisClient),
  } as RedisConnection
  const place: StatePlace = { connection, keyPrefix: '', place: 'Redis' }
  return { place, written, marks }
}
const refusal = (from: StatePlace, to: StatePlace) =>
  copyState(from, to, { id: 'a', log }).then(
    () => 'copied',
    ({ message }: Error) => message,
  )

describe('copyState', () => {
  it('copies no key of a type that no pipeline writes, and does not call that moved', async () => {
    const [from, to] = [placeWith({ scores: 'stream' }), placeWith({})]
    expect(await refusal(from.place, to.place)).to.equal(
      'Nothing was copied: the key scores at Redis is a stream, which no pipeline writes',
    )
    expect([to.written, from.marks.get('copy'), to.marks.get('copy')]).to.deep.equal([[], undefined, 'copying a'])
  })

  it('is not used where a key did not come', async () => {
    const [from, to] = [placeWith({ reservoirs: 'set' }), placeWith({})]
    expect(await refusal(from.place, to.place)).to.match(/the key reservoirs is not in Redis any more/)
    expect(to.written).to.deep.equal(['DEL reservoirs', 'SADD reservoirs'])
    expect(from.marks.get('copy')).to.equal(undefined)
  })
})
