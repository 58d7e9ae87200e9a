import { expect } from 'chai'
import type { Event } from '../detection/event.ts'
import { FeatureSchema, maxFeatures } from '../detection/feature-schema.ts'
import { createDecode, type Decoded, isEvent, isRejection, type Origin } from './decode.ts'
import type { FeatureOptions } from './event-fields.ts'

const defaults = { id: 'eventId', time: 'timestamp', key: 'userId', value: 'value' } as const
type Mapping = Parameters<typeof createDecode>[0]

const origin: Origin = {
  id: 'row-1',
  source: 'events.csv',
  recordKey: 'record-key',
  arrival: 1_700_000_000_000,
  latest: 1_700_086_400_000,
}
const seedEvent = {
  eventId: 'test-123',
  timestamp: 1640000000,
  userId: 'user-456',
  value: 125.5,
  features: { feature1: 10.5, feature2: 20.3 },
}

/** Decodes as the processor does: features that are new join the schema first. */
function decode(
  body: unknown,
  mapping: Partial<Mapping> = {},
  from: Partial<Origin> = {},
  options: FeatureOptions = {},
): Decoded {
  const schema = new FeatureSchema()
  const decoder = createDecode({ ...defaults, ...mapping }, schema, options)
  const first = decoder(body, { ...origin, ...from })
  if (isEvent(first) || isRejection(first)) return first
  for (const name of first.unknown) schema.append(name)
  return decoder(body, { ...origin, ...from })
}

describe('createDecode()', () => {
  it("reads the seed's event, its time in seconds", () => {
    expect(decode(seedEvent)).to.deep.equal({
      id: 'test-123',
      time: 1640000000000,
      key: 'user-456',
      value: 125.5,
      features: [10.5, 20.3],
    })
  })

  it('lets the origin stand in for id and time', () => {
    expect(decode({ userId: 7 })).to.deep.equal({
      id: 'row-1',
      time: origin.arrival,
      key: '7',
      value: Number.NaN,
      features: [],
    })
  })

  it('leaves out what an event does not carry', () => {
    const schema = new FeatureSchema(['a', 'b', 'c'])
    const decoded = createDecode(defaults, schema)({ userId: 'u', features: { c: 3, a: null } }, origin)
    expect(decoded).to.deep.include({ value: Number.NaN, features: [Number.NaN, Number.NaN, 3] })
  })

  it('asks for new features to be made known, and then knows them', () => {
    const schema = new FeatureSchema()
    const decoder = createDecode(defaults, schema)
    expect(decoder(seedEvent, origin)).to.deep.equal({ unknown: ['feature1', 'feature2'] })
    for (const name of ['feature1', 'feature2']) schema.append(name)
    expect(decoder(seedEvent, origin)).to.deep.include({ features: [10.5, 20.3] })
  })

  it('takes keys from the record, the source or nowhere', () => {
    expect(decode({}, { key: '$key' })).to.include({ key: 'record-key' })
    expect(decode({}, { key: '$source' })).to.include({ key: 'events.csv' })
    expect(decode({}, { key: '' })).to.include({ key: '' })
    expect(decode({}, { key: '$key' }, { recordKey: undefined })).to.include({ reason: 'MissingKey' })
  })

  it('follows dotted paths, and names with dots', () => {
    expect(
      decode({ card: { holder: 'u' }, 'paid.amount': 3 }, { key: 'card.holder', value: 'paid.amount' }),
    ).to.include({ key: 'u', value: 3 })
  })

  it('takes flat features by name and pattern, never fields with another meaning nor the label', () => {
    const body = { userId: 'u', x0: 1, x1: 2, amount: 3, xlabel: 1, other: 'text' }
    const decoded = decode(body, { featureFields: ['amount', 'x*'], value: 'x1' }, {}, { ignore: ['xlabel'] })
    expect(decoded).to.deep.include({ value: 2, features: [1, 3] })
  })

  describe('times', () => {
    it('come as whatever timeOf() reads, from numbers and text', () => {
      expect(decode({ ...seedEvent, timestamp: 1640000000.25 })).to.include({ time: 1640000000250 })
      expect(decode({ ...seedEvent, timestamp: '2021-12-20T11:33:20Z' })).to.include({ time: 1640000000000 })
    })
    it('are refused where they are none', () => {
      for (const raw of ['yesterday', -1, true, {}])
        expect(decode({ ...seedEvent, timestamp: raw })).to.include({ reason: 'InvalidTime', field: 'timestamp' })
    })
    it('refuses the far future', () => {
      const future = decode({ ...seedEvent, timestamp: 1_900_000_000 })
      expect(future).to.deep.equal({
        reason: 'InvalidTime',
        field: 'timestamp',
        message: 'timestamp: 1900000000 lies in the far future',
      })
    })
  })

  describe('what cannot be an event', () => {
    const refused: readonly (readonly [what: string, body: unknown, expected: object])[] = [
      ['a list', [1], { reason: 'NotAnObject', message: 'the event is a list, not an object' }],
      ['null', null, { reason: 'NotAnObject', message: 'the event is null, not an object' }],
      ['text', 'hello', { reason: 'NotAnObject', message: 'the event is "hello", not an object' }],
      ['no key', { eventId: 'a' }, { reason: 'MissingKey', field: 'userId', message: 'userId: the event has no key' }],
      [
        'an empty key',
        { userId: '' },
        { reason: 'MissingKey', field: 'userId', message: 'userId: the event has no key' },
      ],
      [
        'an id of 257',
        { ...seedEvent, eventId: 'x'.repeat(257) },
        { reason: 'InvalidId', field: 'eventId', message: 'eventId: 257 characters, at most 256 are allowed' },
      ],
      [
        'an id that is an object',
        { ...seedEvent, eventId: {} },
        { reason: 'InvalidId', field: 'eventId', message: 'eventId: an object must be a string or a number' },
      ],
      [
        'a value in quotes',
        { ...seedEvent, value: '12' },
        { reason: 'InvalidValue', field: 'value', message: 'value: "12" must be a finite number' },
      ],
      [
        'an infinite value',
        { ...seedEvent, value: Number.POSITIVE_INFINITY },
        { reason: 'InvalidValue', field: 'value', message: 'value: Infinity must be a finite number' },
      ],
      [
        'a feature in quotes',
        { ...seedEvent, features: { a: 1, b: '2' } },
        { reason: 'InvalidFeature', field: 'features.b', message: 'features.b: "2" must be a finite number' },
      ],
      [
        'an infinite feature',
        { ...seedEvent, features: { a: Number.NEGATIVE_INFINITY } },
        { reason: 'InvalidFeature', field: 'features.a', message: 'features.a: -Infinity must be a finite number' },
      ],
      [
        'features in a list',
        { ...seedEvent, features: [1, 2] },
        { reason: 'InvalidFeature', field: 'features', message: 'features: a list must be an object of numbers' },
      ],
    ]
    for (const [what, body, expected] of refused)
      it(`is refused: ${what}`, () => {
        expect(decode(body)).to.deep.equal(expected)
      })

    it('is refused: 5,000 features, and the schema stays as it was', () => {
      const features = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, i]))
      expect(decode({ ...seedEvent, features })).to.include({ reason: 'TooManyFeatures', field: 'features' })
    })

    it('is read without what the schema has no room for, and says so', () => {
      const schema = new FeatureSchema(['a', ...Array.from({ length: maxFeatures - 1 }, (_, i) => `f${i}`)])
      const event = { ...seedEvent, features: { a: 7, new: 8 } }
      const decoded = createDecode(defaults, schema)(event, origin)
      expect(decoded).to.deep.include({ id: 'test-123', isCut: true })
      expect((decoded as Event).features.slice(0, 2)).to.deep.equal([7, Number.NaN])
      expect(createDecode(defaults, schema)({ ...event, features: { a: 7 } }, origin)).to.not.have.property('isCut')
    })
  })

  describe('text, as in CSV', () => {
    const text = { text: 'Point' } as const
    it('is read as numbers where numbers belong, and empty cells as absent', () => {
      const decoded = decode(
        { userId: '42', timestamp: '31', value: ' 1e3', x: '', y: '-2.5' },
        { featureFields: ['x', 'y'] },
        text,
      )
      expect(decoded).to.deep.equal({ id: 'row-1', time: 31_000, key: '42', value: 1000, features: [Number.NaN, -2.5] })
    })
    for (const cell of ['abc', '1,500', '0x10', ' 0B1', '1e999'])
      it(`is refused where it is no number: ${JSON.stringify(cell)}`, () => {
        expect(decode({ userId: 'u', value: cell }, {}, text)).to.include({ reason: 'InvalidValue', field: 'value' })
      })
    it('has absent numbers and times, which cost nothing else of the row', () => {
      const decoded = decode({ userId: 'NA', timestamp: 'null', value: 'NaN' }, {}, text)
      expect(decoded).to.deep.include({ key: 'NA', time: origin.arrival, value: Number.NaN })
    })
  })

  describe('identity', () => {
    const read = (json: string, mapping: Partial<Mapping> = {}) =>
      createDecode({ ...defaults, features: '', ...mapping }, new FeatureSchema())(JSON.parse(json), origin, json)

    it('is what is written, beyond what a double can hold', () => {
      const ids = ['1524831183200260097', '-9007199254740993', '123456789012345678901234567890', '9007199254740992']
      for (const id of ids)
        expect(read(`{"eventId":${id},"userId":${id},"value":1}`), id).to.include({ id, key: id, value: 1 })
      expect(read('{"userId":1524831183200260097.0}')).to.include({ key: '1524831183200260097.0' })
      expect(read('{"userId":1e3,"eventId":1.5}')).to.include({ key: '1000', id: '1.5' })
    })

    it('is as exact where others are rounded alike, and where no double is meant', () => {
      const alike = '"note":"9007199254740993","userId":9007199254740992,"x":[9007199254740993, 9007199254740992.0]'
      expect(read(`{${alike}}`)).to.include({ key: '9007199254740992' })
      expect(read(String.raw`{"\\\"":"\"", ${alike}}`)).to.include({ key: '9007199254740992' })
      expect(read('{"userId":1e20}')).to.include({ key: '100000000000000000000' })
    })

    it('is as exact within objects, behind text that looks like a number, and of the last of two fields', () => {
      expect(read('{"a":{"id":9007199254740993}}', { key: 'a.id' })).to.include({ key: '9007199254740993' })
      expect(read(String.raw`{"note":"\\\"9007199254740995","userId":9007199254740993,"x":[{}]}`)).to.include({
        key: '9007199254740993',
      })
      expect(read('{"userId":1,"userId":9007199254740993}')).to.include({ key: '9007199254740993' })
    })

    it('leaves numbers numbers', () => {
      const json = '{"userId":9007199254740993,"timestamp":1640000000000000000,"value":12345678901234567890}'
      expect(read(json)).to.include({ time: 1640000000000, value: 12345678901234567000 })
    })

    it('is refused where UTF-8 cannot write it', () => {
      expect(read(String.raw`{"userId":"\ud800"}`)).to.include({ reason: 'MissingKey' })
      expect(read(String.raw`{"userId":"u","eventId":"a\udc00"}`)).to.include({ reason: 'InvalidId' })
      expect(read(String.raw`{"userId":"u","features":{"\ud800":1}}`, { features: 'features' })).to.include({
        reason: 'InvalidFeature',
      })
    })

    it('takes no field that an object has by nature for one of the event', () => {
      for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
        expect(read('{}', { key: name })).to.include({ reason: 'MissingKey' })
        expect(read('{"userId":"u"}', { value: name, time: name, id: name })).to.deep.include({
          id: 'row-1',
          time: origin.arrival,
          value: Number.NaN,
        })
        expect(read('{"a":{}}', { key: `a.${name}` })).to.include({ reason: 'MissingKey' })
        expect(read(`{"${name}":"k"}`, { key: name })).to.include({ key: 'k' })
      }
    })
  })

  it('takes features by their dotted names out of objects, or as they are written', () => {
    const mapping = { featureFields: ['cpu.user', 'disk.*'] }
    const events = [
      { userId: 'u', 'cpu.user': 5, disk: { read: 1, write: 2, queue: { depth: 3 } }, other: { user: 9 } },
      { userId: 'u', cpu: { user: 5, system: 9 }, 'disk.read': 1, 'disk.write': 2 },
    ]
    const featuresOf = (body: unknown) => decode(body, mapping)
    expect(featuresOf(events[0])).to.deep.include({ features: [5, 1, 2] })
    expect(featuresOf(events[1])).to.deep.include({ features: [1, 2, 5] })
  })

  it('finds the columns of a CSV whose names had spaces around them', () => {
    const mapping = { key: ' Port', value: ' Duration', featureFields: [' Fwd IAT*', 'Bytes'] }
    const body = { Port: '80', Duration: '3', 'Fwd IAT Mean': '1.5', Bytes: '7', Other: 'x' }
    expect(decode(body, mapping, { text: 'Point' })).to.deep.include({ key: '80', value: 3, features: [1.5, 7] })
  })

  it('answers with a short rejection, whatever is in whichever field', () => {
    const deep = JSON.parse(`${'['.repeat(200_000)}${']'.repeat(200_000)}`) as unknown
    const wide = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`name-${i}`, i]))
    const long = 'x'.repeat(1_000_000)
    const monsters: readonly unknown[] = [
      deep,
      { deep },
      wide,
      long,
      `${long}\ud800`,
      [wide],
      true,
      Number.POSITIVE_INFINITY,
    ]
    for (const monster of monsters)
      for (const field of ['eventId', 'timestamp', 'userId', 'value', 'features'] as const)
        for (const body of [
          { ...seedEvent, [field]: monster },
          { ...seedEvent, features: { [long]: monster } },
        ]) {
          const decoded = decode(body)
          if (!isRejection(decoded)) throw new Error(`${field} was read`)
          expect(JSON.stringify(decoded).length).to.be.below(1000)
        }
  })
})
