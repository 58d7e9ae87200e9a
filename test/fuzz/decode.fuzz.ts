import { expect } from 'chai'
import type { EventMapping } from '../../lib/pipeline/spec.ts'
import { FeatureSchema } from '../../workloads/detection/feature-schema.ts'
import { createDecode, type Decoded, isEvent, isRejection, type Origin } from '../../workloads/wire/decode.ts'
import { EventTemplate } from '../../workloads/wire/event-template.ts'
import { parseBody } from '../../workloads/wire/json-body.ts'
import type { Chance, Fuzz } from './fuzz.ts'

const origin: Origin = { id: 'e-0-7', source: 'e', recordKey: 'record', arrival: 1_700_000_000_000, latest: 4.1e12 }
const base: EventMapping = { id: 'eventId', time: 'timestamp', key: 'userId', value: 'value' }
const mappings: readonly EventMapping[] = [
  base,
  { ...base, featureFields: ['x*', 'cpu.user'] },
  { ...base, key: '$key', features: '' },
  { ...base, key: '', id: '', time: '' },
  { ...base, categories: ['note', 'a', 'x1'] },
  { ...base, key: 'user.id', value: 'a.b' },
  { ...base, envelope: 'CloudEvents' },
  { ...base, envelope: 'Debezium' },
]
const names = [
  'eventId',
  'timestamp',
  'userId',
  'value',
  'features',
  'x1',
  'x2',
  'cpu.user',
  'cpu',
  'user',
  'a',
  'id',
  'note',
]
const odd = ['__proto__', 'constructor', '\\ud800', 'ü', '', 'data', 'payload', 'after', 'op', 'specversion']

function number(chance: Chance): string {
  return chance.pick(
    () => String(chance.int(1000)),
    () => String(chance.next() * 10 ** chance.int(20)),
    () => `${chance.pick('', '-')}${1 + chance.int(9)}${chance.text(chance.int(25), '0123456789')}`,
    () => chance.pick('0', '-0', '1e3', '1e999', '0.10', '9007199254740993', '1640000000', '1640000000000'),
    () => chance.pick('01', '1.', '+1', 'NaN', '-', ''),
  )()
}

function value(chance: Chance, depth: number): string {
  return chance.pick(
    () => number(chance),
    () => `"${chance.text(chance.int(12), 'abc0123456789-:TZ.+ ')}"`,
    () => chance.pick('"2024-01-01T00:00:00Z"', '"\\ud800"', '"ü"', '"\\u0041"', '""', 'true', 'null', '"a\\"b"'),
    () => (depth > 0 ? object(chance, depth - 1) : '{}'),
    () => (depth > 0 ? `[${value(chance, depth - 1)}]` : '[]'),
    () => (chance.happens(0.01) ? `${'['.repeat(6000)}${']'.repeat(6000)}` : '1'),
  )()
}

function object(chance: Chance, depth: number): string {
  const space = chance.pick('', '', ' ', '\n')
  const fields = Array.from({ length: chance.int(7) }, () => {
    const name = chance.happens(0.1) ? chance.pick(...odd) : chance.pick(...names)
    return `${space}"${name}"${space}:${value(chance, depth)}`
  })
  return `{${fields.join(',')}${space}}`
}

/** Decodes as the processor does. */
function slowly(bytes: Buffer, decode: ReturnType<typeof createDecode>, schema: FeatureSchema): Decoded {
  const body = parseBody(bytes)
  if ('reason' in body) return body
  const decoded = decode(body.value, origin, body.json)
  if (!('unknown' in decoded)) return decoded
  for (const name of decoded.unknown) schema.append(name)
  return decode(body.value, origin, body.json)
}

/** What the template reads from bytes is what decode() reads; whatever comes is an event or a short rejection. */
export const fuzz: Fuzz = {
  name: 'decode',
  tryOne(chance) {
    const mapping = chance.pick(...mappings)
    const schema = new FeatureSchema()
    const decode = createDecode(mapping, schema)
    const template = new EventTemplate(mapping, schema)
    const shape = object(chance, 2)
    for (let i = 0; i < 6; i++) {
      const text = i === 0 ? shape : shape.replaceAll(/:-?\d+\b/g, () => `:${number(chance)}`)
      const bytes = chance.happens(0.3) ? chance.damaged(Buffer.from(text)) : Buffer.from(text)
      const quickly = template.read(bytes, origin)
      const decoded = slowly(bytes, decode, schema)
      if (quickly !== undefined) expect(quickly, String(bytes)).to.deep.equal(decoded)
      if (isEvent(decoded)) template.learn(bytes)
      else if (isRejection(decoded)) expect(JSON.stringify(decoded).length, String(bytes)).to.be.below(1500)
    }
  },
}
