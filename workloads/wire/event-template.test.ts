import { expect } from 'chai'
import type { Event } from '../detection/event.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { random } from '../detection/random.ts'
import { createDecode, isEvent, isRejection, type Origin } from './decode.ts'
import { EventTemplate } from './event-template.ts'

const defaults = { id: 'eventId', time: 'timestamp', key: 'userId', value: 'value' } as const
type Mapping = ConstructorParameters<typeof EventTemplate>[0]
const origin: Origin = {
  id: 'events-0-7',
  source: 'events',
  recordKey: 'record-key',
  arrival: 1_700_000_000_000,
  latest: 1_800_000_000_000,
}

/** Reads as the processor does; tells how often the template did. */
function reader(mapping: Partial<Mapping> = {}, { ignore = [] as readonly string[] } = {}) {
  const schema = new FeatureSchema()
  const decode = createDecode({ ...defaults, ...mapping }, schema, { ignore })
  const template = new EventTemplate({ ...defaults, ...mapping }, schema, { ignore })
  const decoded = (text: string): Event | undefined => {
    let body: unknown
    try {
      body = JSON.parse(text)
    } catch {
      return undefined
    }
    let event = decode(body, origin, text)
    if ('unknown' in event) {
      for (const name of event.unknown) schema.append(name)
      event = decode(body, origin, text)
    }
    return isRejection(event) || !isEvent(event) ? undefined : event
  }
  return {
    schema,
    template,
    decoded,
    /** What the template makes of the bytes, which is what `decode` does, or undefined. */
    read(bytes: Buffer): Event | undefined {
      const own = template.read(bytes, origin)
      const expected = decoded(String(bytes))
      if (own !== undefined) expect(own, String(bytes)).to.deep.equal(expected)
      else if (expected !== undefined) template.learn(bytes)
      return own
    },
  }
}

const chance = random('template')
const pick = <T>(...choices: readonly T[]): T => choices[chance.int(choices.length)]!
const digits = (count: number) => Array.from({ length: count }, () => chance.int(10)).join('')

/** A number as JSON may write it, and sometimes as it may not. */
const numberText = (): string =>
  pick(
    () => String(chance.next()),
    () => String(Math.round(chance.next() * 1e8) / 1e6),
    () => String(chance.int(1000)),
    () => pick('0', '-0', '-0.0', '0.10', '1e3', '-1.5E-7', '1E+2', '5e-324', '123456789012345', '9007199254740993'),
    () => `${pick('', '-')}${1 + chance.int(9)}${digits(chance.int(22))}.${digits(1 + chance.int(22))}`,
    () => `0.${digits(1 + chance.int(18))}`,
    () =>
      pick('1e999', '01', '1.', '.5', '+1', '-', '1e', '1e+', 'NaN', '0x1', '1_0', '--1', '1.5.2', '', '"1"', 'null'),
  )()
const textText = (): string =>
  pick(
    () => `"e${digits(chance.int(12))}"`,
    () => JSON.stringify(pick('', 'ü', 'a"b', '\\', 'x'.repeat(256), 'x'.repeat(257), '\u007f', '异常', 'a b', '\n')),
    () => pick('"unended', '"tab\t"', 'null', '7', '"\\u0041"', '""', '{}'),
  )()
const timeText = (): string =>
  pick(
    () => `"2023-1${chance.int(3)}-${10 + chance.int(30)}T1${chance.int(10)}:${10 + chance.int(60)}:00.${digits(3)}Z"`,
    () => `"2023-10-${10 + chance.int(20)} 12:0${chance.int(10)}"`,
    () =>
      pick('"2023-10-01"', '"2023-10-01T00:00+02:00"', '"2099-01-01"', '"yesterday"', '""', '"17000000000"', 'null'),
  )()
/** An identity as a number: of few digits and of more than a double can hold. */
const idText = (): string =>
  pick(
    () => `${pick('', '-')}${1 + chance.int(9)}${digits(chance.int(25))}`,
    () => pick('0', '-0', '007', '1.0', '1e3', '9007199254740993', '9007199254740993.0', '12345678901234567e2', '1.'),
    () => `${1 + chance.int(9)}${digits(15)}.${digits(1 + chance.int(3))}`,
    () => `1${digits(pick(254, 255, 256))}`,
  )()
const ordinary = { id: () => `"e-${digits(9)}"`, key: () => `"user-${digits(3)}"`, time: () => `17${digits(11)}` }
const rarely = (unusual: () => string, usual: () => string): string => (chance.next() < 0.05 ? unusual() : usual())

const flat = (): string =>
  `{"eventId":${rarely(textText, ordinary.id)},"timestamp":${rarely(numberText, ordinary.time)},"userId":${rarely(textText, ordinary.key)},"value":${rarely(numberText, () => String(chance.int(1e6) / 100))},"currency":${rarely(textText, () => '"EUR"')},"ok":${pick('true', 'false', 'null', '1')},"features":{"a":${numberText()},"b":${rarely(numberText, () => '12.5')}}}`
const spaced = (): string => flat().replaceAll(',"', ', "').replaceAll(':', ' : ')
const timed = (): string => `{"timestamp":${timeText()},"userId":${ordinary.key()},"value":${numberText()}}`
const numbered = (): string =>
  `{"eventId":${rarely(textText, idText)},"userId":${rarely(textText, () => `1${digits(18)}`)},"value":${numberText()}}`
const bare = (): string =>
  `{"userId":${ordinary.key()},"value":${numberText()},"x1":${numberText()},"x2":${numberText()}}`

describe('EventTemplate', () => {
  for (const [what, mapping, event] of [
    ['features in an object', {}, flat],
    ['spaces between tokens', {}, spaced],
    ['features among the fields', { featureFields: ['x*'] }, bare],
    ['no features, no id, no time', { features: '' }, bare],
    ["the record's key", { key: '$key' }, flat],
    ['one key for all', { key: '' }, flat],
    ['labels', { features: 'features' }, flat],
    ['times as text', {}, timed],
    ['ids and keys that are numbers', {}, numbered],
    ['categories', { categories: ['currency', 'other'] }, flat],
    ['secondary keys', { secondaryKeys: ['other', 'currency'] }, flat],
    ['categories and secondary keys', { categories: ['other'], secondaryKeys: ['currency', 'absent'] }, flat],
  ] as const) {
    it(`reads ordinary events as decode() does, whatever their numbers and texts are: ${what}`, () => {
      const { read } = reader(mapping, { ignore: what === 'labels' ? ['b'] : [] })
      let hits = 0
      for (let i = 0; i < 5000; i++) if (read(Buffer.from(event())) !== undefined) hits++
      expect(hits).to.be.greaterThan(2000)
    })
  }

  it('reads no feature into the place of a forgotten one', () => {
    const { read, schema } = reader({ features: 'features' })
    const bytes = (n: number) =>
      Buffer.from(`{"userId":"u","timestamp":170000000,"value":1,"features":{"a":1,"b":${n}}}`)
    for (let n = 0; n < 20; n++) read(bytes(n))
    expect(read(bytes(1))).to.not.equal(undefined)
    schema.adopt(['a', ''])
    for (let n = 0; n < 200; n++) read(bytes(n))
    expect(read(bytes(7))!.features).to.deep.equal([1, Number.NaN, 7])
  })

  it('makes nothing else of damaged bytes than decode() does', () => {
    const { read } = reader()
    for (let i = 0; i < 30_000; i++) {
      const bytes = Buffer.from(flat())
      for (let n = chance.int(3); n > 0; n--) {
        const at = chance.int(bytes.length)
        bytes[at] = pick(34, 44, 45, 46, 48, 57, 58, 92, 101, 123, 125, 0, 32, 128, 200, 255, chance.int(256))
      }
      read(bytes)
      read(bytes.subarray(0, chance.int(bytes.length + 1)))
      const from = chance.int(bytes.length)
      read(Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + chance.int(20))]))
      read(Buffer.concat([bytes, Buffer.from(pick(' ', '}', ',', '\n', '\0', 'x'))]))
    }
  })

  it('takes fields in other orders and other shapes as they come', () => {
    const { read, template } = reader()
    const shapes = [
      (x: number) => `{"userId":"u","features":{"a":${x}},"value":${x}}`,
      (x: number) => `{"value":${x},"userId":"u"}`,
      (x: number) => ` {"userId":"u","features":{"b":${x},"a":${x}}} `,
    ]
    for (const shape of shapes) {
      for (let x = 0; x < 40; x++) read(Buffer.from(shape(x)))
      expect(template.read(Buffer.from(shape(0.5)), origin)).to.not.equal(undefined)
    }
  })

  for (const [what, text, mapping] of [
    ['a field that occurs twice', '{"userId":"u","value":1,"value":2}', {}],
    ['a feature that occurs twice', '{"userId":"u","features":{"a":1,"a":2}}', {}],
    ['a prototype', '{"userId":"u","__proto__":{"value":1}}', {}],
    ['a list', '{"userId":"u","tags":[1],"value":2}', {}],
    ['objects within', '{"userId":"u","place":{"x":1},"value":2}', {}],
    ['a dotted path', '{"userId":"u","a":{"b":1},"a.b":2}', { value: 'a.b' }],
    ['one field for two things', '{"userId":"u","value":2}', { id: 'userId' }],
    ['a field named as what every object has', '{"userId":"u","valueOf":2}', { value: 'valueOf' }],
    ['no key', '{"userId":"u","value":2}', { key: '$other' }],
    ['an id that is no whole number', '{"eventId":7.5,"userId":"u"}', {}],
    ['a key that has two spellings', '{"userId":-0}', {}],
    ['an empty object', '{}', { key: '' }],
    ['features of an empty object', '{"userId":"u","features":{}}', {}],
  ] as const) {
    it(`leaves ${what} to decode()`, () => {
      const { read } = reader(mapping)
      for (let i = 0; i < 3; i++) expect(read(Buffer.from(text))).to.equal(undefined)
    })
  }

  it('leaves times in the far future to decode(), which refuses them', () => {
    const { read, decoded } = reader()
    const at = (time: number) => Buffer.from(`{"userId":"u","timestamp":${time}}`)
    read(at(1_700_000_000))
    expect(read(at(1_700_000_000))).to.include({ time: 1_700_000_000_000 })
    expect(read(at(1_800_000_001))).to.equal(undefined)
    expect(decoded(String(at(1_800_000_001)))).to.equal(undefined)
  })

  it('knows features that join the schema later', () => {
    const { read } = reader()
    const first = Buffer.from('{"userId":"u","features":{"a":1}}')
    read(first)
    expect(read(first)!.features).to.deep.equal([1])
    read(Buffer.from('{"userId":"u","features":{"b":2}}'))
    expect(read(first)!.features).to.deep.equal([1, Number.NaN])
  })

  it('soon tries no more where every event has another shape, and tries again later', () => {
    const { read } = reader()
    const ever = (i: number) => Buffer.from(`{"userId":"u","features":{"a${i % 997}":1}}`)
    const steady = Buffer.from('{"userId":"u","features":{"a1":1,"a2":2}}')
    for (let i = 0; i < 3000; i++) expect(read(ever(i))).to.equal(undefined)
    const tries = (): number => {
      for (let count = 0; ; count++) if (read(steady) !== undefined) return count
    }
    expect(tries()).to.be.within(17, 5000)
    for (let i = 0; i < 17; i++) read(ever(i))
    expect(tries()).to.be.within(1, 64)
  })

  it('keeps nothing of the bytes that it learnt from: they are part of a whole fetch', () => {
    const { read } = reader()
    const event = '{"userId":"u","features":{"a":1}}'
    const bytes = Buffer.from(event)
    read(bytes)
    bytes.fill(0)
    expect(read(Buffer.from(event))).to.include({ key: 'u' })
  })
})
