import { expect } from 'chai'
import { decodeModel, fitModel, type Model, type ModelFit } from './model.ts'
import { random } from './random.ts'

const columns = ['amount', 'items', 'age']

/** Rows from a normal distribution: amounts about 100, items about 5, ages about 40. */
function payments(count: number, seed: number): Float64Array {
  const chance = random(seed)
  const normal = () => Math.sqrt(-2 * Math.log(1 - chance.next())) * Math.cos(2 * Math.PI * chance.next())
  return Float64Array.from({ length: 3 * count }, (_, i) => [100, 5, 40][i % 3]! * (1 + 0.1 * normal()))
}

function fitted(overrides: Partial<ModelFit> = {}): Model {
  return fitModel({
    rows: payments(2000, 1),
    columns,
    rowsSeen: 7500,
    trees: 100,
    sampleSize: 256,
    seed: 1,
    ...overrides,
  })
}

function surprisalsOf(model: Model, rows: Float64Array, width = columns.length): Float64Array {
  const surprisals = new Float64Array(rows.length / width)
  model.score(rows, surprisals.length, width, surprisals)
  return surprisals
}

describe('Model', () => {
  it('says how surprising a row is in nats: of ordinary rows one in a hundred is beyond -ln 0.01', () => {
    const surprisals = surprisalsOf(fitted(), payments(20_000, 2))
    for (const probability of [0.5, 0.2, 0.05, 0.01]) {
      const beyond = surprisals.filter((surprisal) => surprisal >= -Math.log(probability)).length / surprisals.length
      expect(beyond / probability, `${probability}`).to.be.within(0.6, 1.5)
    }
  })

  it('goes on increasing beyond all that it has seen', () => {
    const model = fitted()
    const most = Math.max(...surprisalsOf(model, payments(2000, 1)))
    const [apart, furtherApart] = surprisalsOf(model, Float64Array.of(200, 0, 0, 200, 15, 0))
    expect(apart).to.be.greaterThan(most)
    expect(furtherApart).to.be.greaterThan(most)
  })

  it('names the columns that made a row strange, with what was observed and expected', () => {
    const model = fitted()
    const row = Float64Array.of(104, 25, 41)
    const [surprisal] = surprisalsOf(model, row)
    const [first, ...others] = model.explain(row, surprisal!)
    expect(first).to.include({ column: 'items', observed: 25 })
    expect(first!.expected).to.be.closeTo(5, 0.1)
    expect(first!.contribution).to.be.within(0.6, 1)
    for (const other of others) expect(other.contribution).to.be.lessThan(0.2)
  })

  it('gives at most three reasons, strongest first, that do not add up to more than the whole', () => {
    const rows = new Float64Array(8 * 1000).map((_, i) => Math.sin(i * i))
    const names = Array.from('abcdefgh')
    const model = fitted({ rows, columns: names })
    const row = new Float64Array(8).map((_, i) => 2 + i)
    const reasons = model.explain(row, surprisalsOf(model, row, 8)[0]!)
    const contributions = reasons.map(({ contribution }) => contribution)
    expect(contributions).to.have.lengthOf(3)
    expect(contributions).to.deep.equal(contributions.toSorted((a, b) => b - a))
    expect(contributions.reduce((sum, x) => sum + x)).to.be.within(0.01, 1)
    expect(model.explain(row, 0)).to.deep.equal([])
  })

  it('explains rows that lack columns', () => {
    const model = fitted()
    const row = Float64Array.of(500, Number.NaN)
    const [surprisal] = surprisalsOf(model, row, 2)
    const reasons = model.explain(row, surprisal!)
    expect(reasons[0]).to.include({ column: 'amount', observed: 500 })
    for (const { column, observed } of reasons) if (column !== 'amount') expect(observed).to.equal(null)
  })

  it('expects nothing of a column that no row had', () => {
    const rows = payments(300, 1).map((x, i) => (i % 3 === 2 ? Number.NaN : x))
    const model = fitted({ rows })
    const row = Float64Array.of(500, 5, 40)
    expect(model.explain(row, surprisalsOf(model, row)[0]!).map(({ column }) => column)).to.not.include('age')
  })

  it('leaves out columns that came after it, and takes those that a row does not have as missing', () => {
    const model = fitted()
    const row = Float64Array.of(104, 5.5, Number.NaN)
    const [expected] = surprisalsOf(model, row)
    expect(surprisalsOf(model, Float64Array.of(104, 5.5), 2)[0]).to.equal(expected)
    expect(surprisalsOf(model, Float64Array.of(...row, 7, 7), 5)[0]).to.equal(expected)
  })

  it('is the same for the same fit, and says in its version what it is', () => {
    expect(fitted().encode()).to.deep.equal(fitted().encode())
    expect(fitted().version).to.match(/^forest-7500-[0-9a-f]{8}$/)
    expect(fitted({ seed: 2 }).version).to.not.equal(fitted().version)
    expect(fitted({ rows: payments(2000, 3) }).version).to.not.equal(fitted().version)
  })

  it('knows rows without columns, all alike, and too few rows not at all', () => {
    const model = fitted({ rows: new Float64Array(0), columns: [] })
    const surprisals = new Float64Array(2)
    model.score(new Float64Array(0), 2, 0, surprisals)
    expect(surprisals).to.deep.equal(new Float64Array(2))
    expect(() => fitted({ rows: payments(1, 1) })).to.throw(RangeError, 'Cannot fit a forest on 1 rows')
  })
})

describe('decodeModel()', () => {
  it('gives the model back that was encoded', () => {
    const model = fitted({ columns: ['betrag €', 'b', 'c'] })
    const decoded = decodeModel(model.encode())
    const rows = payments(100, 4)
    expect([decoded.version, decoded.columns, decoded.rowsSeen]).to.deep.equal([
      model.version,
      ['betrag €', 'b', 'c'],
      7500,
    ])
    expect(surprisalsOf(decoded, rows)).to.deep.equal(surprisalsOf(model, rows))
    const row = Float64Array.of(104, 25, 41)
    expect(decoded.explain(row, 5)).to.deep.equal(model.explain(row, 5))
    expect(decoded.encode()).to.deep.equal(model.encode())
  })

  it('refuses what is damaged, cut off, or something else', () => {
    const bytes = fitted({ trees: 2 }).encode()
    const damaged = bytes.slice()
    damaged[bytes.length >> 1]! ^= 1
    expect(() => decodeModel(damaged)).to.throw('Cannot read MODL: its checksum does not match: it is damaged')
    expect(() => decodeModel(bytes.subarray(0, 1000))).to.throw('Cannot read MODL: it should have')
    expect(() => decodeModel(new TextEncoder().encode('<html>Not found, sorry</html>'))).to.throw(
      'Cannot read MODL: the bytes begin with something else',
    )
  })
})
