import { expect } from 'chai'
import { FeatureSchema, maxFeatures } from '../detection/feature-schema.ts'
import { createDecode, type Decoded, type DecodeOptions, isEvent, isRejection, type Origin } from './decode.ts'

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
  options: DecodeOptions = {},
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
    const times: readonly (readonly [unknown, number])[] = [
      [1640000000, 1640000000000],
      [1640000000.25, 1640000000250],
      [1640000000123, 1640000000123],
      [31, 31_000],
      ['2021-12-20T11:33:20Z', 1640000000000],
      ['2021-12-20T12:33:20.500+01:00', 1640000000500],
      ['2021-12-20 11:33:20', 1640000000000],
      ['2021-12-20 11:33', 1639999980000],
      ['2021-12-20', 1639958400000],
    ]
    for (const [raw, time] of times)
      it(`reads ${JSON.stringify(raw)}`, () => {
        expect(decode({ ...seedEvent, timestamp: raw })).to.include({ time })
      })
    for (const raw of ['yesterday', '20.12.2021', -1, true, {}, '2021-13-40T00:00:00Z', '1640000000'])
      it(`refuses ${JSON.stringify(raw)}`, () => {
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
      ['a list', [1], { reason: 'NotAnObject', message: 'the event is [1], not an object' }],
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
        { reason: 'InvalidId', field: 'eventId', message: 'eventId: {} must be a string or a number' },
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
        { reason: 'InvalidFeature', field: 'features', message: 'features: [1,2] must be an object of numbers' },
      ],
    ]
    for (const [what, body, expected] of refused)
      it(`is refused: ${what}`, () => {
        expect(decode(body)).to.deep.equal(expected)
      })

    it('is refused: 5,000 features, and the schema stays as it was', () => {
      const features = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, i]))
      expect(decode({ ...seedEvent, features })).to.include({ reason: 'TooManyFeatures', field: 'features' })
      const schema = new FeatureSchema(Array.from({ length: maxFeatures }, (_, i) => `f${i}`))
      expect(createDecode(defaults, schema)(seedEvent, origin)).to.include({ reason: 'TooManyFeatures' })
      expect(schema.size).to.equal(maxFeatures)
    })
  })

  describe('text, as in CSV', () => {
    const text = { text: true }
    it('is read as numbers where numbers belong, and empty cells as absent', () => {
      const decoded = decode(
        { userId: '42', timestamp: '31', value: ' 1e3', x: '', y: '-2.5' },
        { featureFields: ['x', 'y'] },
        text,
      )
      expect(decoded).to.deep.equal({ id: 'row-1', time: 31_000, key: '42', value: 1000, features: [Number.NaN, -2.5] })
    })
    for (const cell of ['NaN', 'Infinity', 'abc', ' ', '1,5', '0x10', ' 0B1'])
      it(`is refused where it is no number: ${JSON.stringify(cell)}`, () => {
        expect(decode({ userId: 'u', value: cell }, {}, text)).to.include({ reason: 'InvalidValue', field: 'value' })
      })
  })
})
