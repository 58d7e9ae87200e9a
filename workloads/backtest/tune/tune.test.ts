import { expect } from 'chai'
import { bestOf } from './tune.ts'

describe('bestOf()', () => {
  const tried = (name: string, found: number, of: number, more: object = {}) => {
    const quality = found / of
    return {
      name,
      found,
      wrong: 50,
      quality,
      measure: 'Recall',
      parts: [{ quality }, { quality }],
      ...more,
    } as never as {
      readonly name: string
    } & Parameters<typeof bestOf>[0][number]
  }
  const chosen = (...all: readonly ReturnType<typeof tried>[]) => bestOf(all).name

  it('is the best that is better than the first beyond chance', () => {
    expect(chosen(tried('given', 10, 60), tried('good', 40, 60), tried('best', 50, 60))).to.equal('best')
  })

  it('is the first where the others are better by chance', () => {
    expect(chosen(tried('given', 10, 60), tried('hardly', 14, 60))).to.equal('given')
    expect(chosen(tried('given', 0, 40), tried('hardly', 3, 40))).to.equal('given')
    expect(chosen(tried('given', 500, 600), tried('hardly', 540, 600))).to.equal('given')
  })

  it('is the first where another is better in one part alone', () => {
    const half = tried('half', 40, 60, { parts: [{ quality: 0.9 }, { quality: 0.1 }] })
    expect(chosen(tried('given', 10, 60), half)).to.equal('given')
  })

  it('is one with as much found and fewer false episodes, where labels say what is false', () => {
    const given = tried('given', 30, 60, { wrong: 100, measure: 'F1', quality: 0.3, parts: [{ quality: 0.3 }] })
    const calm = tried('calm', 30, 60, { wrong: 20, measure: 'F1', quality: 0.5, parts: [{ quality: 0.5 }] })
    expect(chosen(given, calm)).to.equal('calm')
  })

  it('is never one that is unfit, the first neither', () => {
    expect(chosen(tried('given', 10, 60), tried('large', 50, 60, { unfit: 'too large' }))).to.equal('given')
    expect(chosen(tried('given', 50, 60, { unfit: 'too large' }), tried('small', 10, 60))).to.equal('small')
  })

  it('is the first where nothing could be compared', () => {
    const none = { quality: Number.NaN, parts: [{ quality: Number.NaN }] }
    expect(chosen(tried('given', 0, 0, none), tried('other', 0, 0, none))).to.equal('given')
  })
})
