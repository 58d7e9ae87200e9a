import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { batches } from './batches.ts'
import type { RedisClient, RedisConnection } from './redis-connection.ts'

/** What one pipeline keeps in one server. */
export interface StatePlace {
  readonly connection: RedisConnection
  /** What the names of all keys begin with. */
  readonly keyPrefix: string
  /** For people. */
  readonly place: string
}

export interface CopyOptions {
  /** Of this copy: who begins it again after an interruption gives the same. */
  readonly id: string
  readonly log: Logger
}

/** How many keys are asked for at once. */
const batch = 500
/** What a key that is no text is taken to hold: to read it is the way to know. */
const assumedBytes = 65_536

/**
 * Copies everything that a pipeline has learnt, each key for as long as it has left, and reads all of it back. Nobody may
 * write in either place meanwhile. What was begun and interrupted begins anew; what was finished stays as it is. A key
 * named `copy` says in each place what has become of it, so that nothing is overwritten that might be in use.
 * @returns how many keys there were; undefined where the same copy had been finished before
 * @throws AppError Conflict where it would overwrite something, Unavailable
 */
export async function copyState(from: StatePlace, to: StatePlace, options: CopyOptions): Promise<number | undefined> {
  const { id, log } = options
  const [former, target] = await Promise.all([readMark(from), readMark(to)])
  if (former === `moved ${id}` && (target === `copying ${id}` || target === `copied ${id}`)) {
    await writeMark(to, `copied ${id}`)
    return undefined
  }
  if (former?.startsWith('copying ')) throw refuse(`${from.place} has no more than part of a copy`)
  const isAbandoned = target?.startsWith('copying ') || target?.startsWith('moved ')
  if (!isAbandoned && (await hasKeys(to)))
    throw refuse(
      `${to.place} has keys already${to.keyPrefix === '' ? '' : ` that begin with ${to.keyPrefix}`}: they may be in use; delete them, or choose another prefix`,
    )
  await claim(from, to, `copying ${id}`, target)
  for await (const names of keysOf(to)) await ask(to, (client) => client.unlink(names))
  for await (const keys of stepsOf(from)) await write(from, to, keys)
  log.info({ from: from.place, to: to.place }, 'everything is copied, and is read back')
  const keys = await verify(from, to)
  await writeMark(from, `moved ${id}`)
  await writeMark(to, `copied ${id}`)
  return keys
}

const refuse = (why: string): AppError => new AppError('Conflict', `Nothing was copied: ${why}`)
const markOf = ({ keyPrefix }: StatePlace): string => `${keyPrefix}copy`
const ask = <T>({ connection }: StatePlace, command: (client: RedisClient) => Promise<T>): Promise<T> =>
  connection.bulk(command)
const readMark = (at: StatePlace): Promise<string | null> => ask(at, (client) => client.get(markOf(at)))
const writeMark = (at: StatePlace, mark: string) => ask(at, (client) => client.set(markOf(at), mark))

/** Says in the target what is about to come to it, and sees by that whether it is a part of what is to be copied. */
async function claim(from: StatePlace, to: StatePlace, mark: string, before: string | null): Promise<void> {
  await writeMark(to, mark)
  const isOneServer = (await ask(from, (client) => client.get(markOf(to)))) === mark
  if (!isOneServer || !(from.keyPrefix.startsWith(to.keyPrefix) || to.keyPrefix.startsWith(from.keyPrefix))) return
  await (before === null ? ask(to, (client) => client.del(markOf(to))) : writeMark(to, before))
  throw refuse('both places are the same, or one holds the other')
}

async function hasKeys(at: StatePlace): Promise<boolean> {
  for await (const _ of keysOf(at)) return true
  return false
}

/** The names of all keys in batches, some perhaps twice, without the mark. */
async function* keysOf(at: StatePlace): AsyncGenerator<Buffer[]> {
  const match = `${at.keyPrefix.replace(/[*?[\]\\]/g, '\\$&')}*`
  const mark = Buffer.from(markOf(at))
  let cursor = '0'
  do {
    const [next, found] = await ask(at, (client) => client.scanBuffer(cursor, 'MATCH', match, 'COUNT', batch))
    cursor = String(next)
    const names = found.filter((name) => !name.equals(mark))
    if (names.length > 0) yield names
  } while (cursor !== '0')
}

interface Entry {
  readonly type: Type
  readonly values: readonly Buffer[]
  readonly ttlMs: number
}

/** The types of keys that the store has: how each is read and written. */
const types = {
  string: { read: 'GET', range: [], write: 'SET' },
  hash: { read: 'HGETALL', range: [], write: 'HSET' },
  list: { read: 'LRANGE', range: ['0', '-1'], write: 'RPUSH' },
  set: { read: 'SMEMBERS', range: [], write: 'SADD' },
  zset: { read: 'ZRANGE', range: ['0', '-1', 'WITHSCORES'], write: 'ZADD' },
} as const
/** How many values one command writes: whole pairs. */
const valuesAtOnce = 10_000
type Type = keyof typeof types
const isType = (name: string): name is Type => Object.hasOwn(types, name)

interface Key {
  readonly name: Buffer
  readonly type: string
  readonly ttlMs: number
  readonly bytes: number
}

async function keysNamed(at: StatePlace, names: readonly Buffer[]): Promise<readonly Key[]> {
  const found = await ask(at, (client) =>
    Promise.all(names.map((name) => Promise.all([client.type(name), client.pttl(name)]))),
  )
  return ask(at, (client) =>
    Promise.all(
      names.map(async (name, i) => {
        const [type, ttlMs] = found[i]!
        return { name, type, ttlMs, bytes: type === 'string' ? await client.strlen(name) : assumedBytes }
      }),
    ),
  )
}

/** All keys, as many at a time as are read and written at once: models are large. */
async function* stepsOf(at: StatePlace): AsyncGenerator<readonly Key[]> {
  for await (const names of keysOf(at)) yield* batches(await keysNamed(at, names), ({ bytes }) => bytes)
}

/** What the keys hold, in their order; undefined for those that are gone. */
async function read(at: StatePlace, keys: readonly Key[]): Promise<readonly (Entry | undefined)[]> {
  return ask(at, (client) =>
    Promise.all(
      keys.map(async ({ name, type, ttlMs }) => {
        if (type === 'none') return undefined
        if (!isType(type)) throw refuse(`the key ${name} at ${at.place} is a ${type}, which no pipeline writes`)
        const { read, range } = types[type]
        const answer = (await client.callBuffer(read, name, ...range)) as Buffer | readonly (Buffer | Buffer[])[] | null
        // Members come with their scores in pairs.
        const values = answer === null ? [] : Buffer.isBuffer(answer) ? [answer] : answer.flat()
        return values.length === 0 ? undefined : { type, values, ttlMs }
      }),
    ),
  )
}

const nameAt = (to: StatePlace, from: StatePlace, name: Buffer): Buffer =>
  Buffer.concat([Buffer.from(to.keyPrefix), name.subarray(Buffer.byteLength(from.keyPrefix))])

async function write(from: StatePlace, to: StatePlace, keys: readonly Key[]): Promise<void> {
  const entries = await read(from, keys)
  await ask(to, (client) =>
    Promise.all(
      entries.flatMap((entry, i) => {
        if (entry === undefined) return []
        const name = nameAt(to, from, keys[i]!.name)
        return [
          client.del(name),
          ...commandsOf(entry).map((values) => client.call(types[entry.type].write, name, ...values)),
          ...(entry.ttlMs > 0 ? [client.pexpire(name, entry.ttlMs)] : []),
        ]
      }),
    ),
  )
}

/** What is written by one command after the other. */
function commandsOf({ type, values }: Entry): readonly (readonly Buffer[])[] {
  // It is read as members with their scores, and written as scores with their members.
  const given = type === 'zset' ? values.map((_, i) => values[i ^ 1]!) : values
  return Array.from({ length: Math.ceil(given.length / valuesAtOnce) }, (_, i) =>
    given.slice(i * valuesAtOnce, (i + 1) * valuesAtOnce),
  )
}

/** Compares each key of both places; how many there are. */
async function verify(from: StatePlace, to: StatePlace): Promise<number> {
  let count = 0
  for await (const keys of stepsOf(from)) {
    const names = keys.map(({ name }) => name)
    const copies = await keysNamed(
      to,
      names.map((name) => nameAt(to, from, name)),
    )
    const [wanted, found] = await Promise.all([read(from, keys), read(to, copies)])
    const wrong = wanted.findIndex((entry, i) => entry !== undefined && !isSame(entry, found[i]))
    if (wrong !== -1)
      throw new AppError(
        'Conflict',
        found[wrong] === undefined
          ? `The copy is not used: the key ${names[wrong]} is not in ${to.place} any more, which may have too little memory`
          : `The copy is not used: the key ${names[wrong]} was changed in ${from.place} or in ${to.place} meanwhile; stop what writes there`,
      )
    count += wanted.filter((entry) => entry !== undefined).length
  }
  return count
}

function isSame(a: Entry, b: Entry | undefined): boolean {
  if (b === undefined || a.type !== b.type || a.values.length !== b.values.length) return false
  // A server answers in an order of its own.
  const [one, other] = [a, b].map((entry) => inOrder(entry))
  return one!.every((value, i) => value.equals(other![i]!))
}

function inOrder({ type, values }: Entry): readonly Buffer[] {
  if (type === 'set') return [...values].sort(Buffer.compare)
  if (type !== 'hash') return values
  const pairs = Array.from({ length: values.length / 2 }, (_, i) => values.slice(2 * i, 2 * i + 2))
  return pairs.sort(([a], [b]) => Buffer.compare(a!, b!)).flat()
}
