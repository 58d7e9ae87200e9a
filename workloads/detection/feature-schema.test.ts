import { expect } from 'chai'
import { FeatureSchema, maxFeatures } from './feature-schema.ts'

const many = (count: number, prefix = 'f') => Array.from({ length: count }, (_, i) => `${prefix}${i}`)

describe('FeatureSchema', () => {
  it('wants of one event no more names than leave room for others, and none that is too long or empty', () => {
    const schema = new FeatureSchema(['amount'])
    expect(schema.wanted(['', 'x'.repeat(129), 'y'.repeat(128)])).to.deep.equal(['y'.repeat(128)])
    expect(schema.wanted(many(999))).to.have.length(250)
  })

  it('wants nothing where it is full, and none of a thousand events after names were refused', () => {
    const full = new FeatureSchema(many(maxFeatures))
    expect(full.wanted(['more'])).to.deep.equal([])
    const schema = new FeatureSchema(['a'])
    schema.adopt(['a', 'b'], ['b', 'c'])
    for (let i = 0; i < 1000; i++) expect(schema.wanted(['c'])).to.deep.equal([])
    expect(schema.wanted(['c'])).to.deep.equal(['c'])
  })

  it('leaves the place of a forgotten name empty, and has room for another', () => {
    const schema = new FeatureSchema(many(maxFeatures))
    schema.adopt(['f0', '', ...many(maxFeatures).slice(2)])
    expect([schema.indexOf('f1'), schema.size, schema.hasRoomFor(1)]).to.deep.equal([undefined, maxFeatures, true])
    schema.adopt([...schema.names, 'f1'])
    expect(schema.indexOf('f1')).to.equal(maxFeatures)
    expect(new FeatureSchema(schema.names).names).to.deep.equal(schema.names)
  })
})
