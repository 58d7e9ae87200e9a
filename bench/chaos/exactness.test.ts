import { expect } from 'chai'
import { exactnessOf, isExact } from './exactness.ts'
import { recordOf } from './java-reader.ts'

const record = (offset: number, id: string, partition = 0) => ({ partition, offset, key: 'k', id })
const [event, verdict, letter] = [record, record, record]

describe('exactnessOf', () => {
  const events = [event(0, 'a'), event(1, 'b'), event(2, '{'), event(3, 'c')]

  it('is given where each event has one verdict or one dead letter, in order', () => {
    const verdicts = [verdict(0, 'a'), verdict(1, 'b'), verdict(2, 'c')]
    const exactness = exactnessOf([events], verdicts, [letter(0, '{')])
    expect([isExact(exactness), exactness.events]).to.deep.equal([true, 4])
  })

  it('counts what is missing, doubled, invented and out of order', () => {
    const verdicts = [verdict(0, 'b'), verdict(1, 'a'), verdict(2, 'a'), verdict(3, 'ghost')]
    expect(exactnessOf([events], verdicts, [letter(0, '{'), letter(1, '{')])).to.deep.include({
      missing: 1,
      doubled: 2,
      invented: 1,
      disordered: 1,
    })
  })

  describe('of a topic that was made anew', () => {
    const topics = [
      [event(0, 'a'), event(1, 'b'), event(2, 'c')],
      [event(0, 'd'), event(1, 'e')],
    ]

    it('is given where the last ones of the former topic have no verdict', () => {
      const exactness = exactnessOf(topics, [verdict(0, 'a'), verdict(1, 'd'), verdict(2, 'e')], [])
      expect(exactness).to.deep.include({ formerTopics: 1, unjudged: 2, missing: 0, disordered: 0 })
    })

    it('misses what is before a judged one in the former topic', () => {
      const exactness = exactnessOf(topics, [verdict(0, 'a'), verdict(1, 'c'), verdict(2, 'd'), verdict(3, 'e')], [])
      expect(exactness).to.deep.include({ unjudged: 0, missing: 1 })
    })

    it('misses any of the new topic', () => {
      expect(exactnessOf(topics, [verdict(0, 'a'), verdict(1, 'e')], []).missing).to.equal(1)
      expect(exactnessOf(topics, [verdict(0, 'a'), verdict(1, 'd')], []).missing).to.equal(1)
    })

    it('finds verdicts of the former topic out of order behind those of the new one', () => {
      const verdicts = [verdict(0, 'a'), verdict(1, 'd'), verdict(2, 'b'), verdict(3, 'e')]
      expect(exactnessOf(topics, verdicts, []).disordered).to.equal(1)
    })
  })
})

describe('recordOf', () => {
  const line = 'Partition:3\u0001Offset:17\u0001key\u0001{"eventId":"rest-1","a":1}'

  it('reads a line of the console consumer', () => {
    expect(recordOf(line, () => false)).to.deep.equal({ partition: 3, offset: 17, key: 'key', id: 'rest-1' })
  })

  it('keeps the value where it is asked to', () => {
    expect(recordOf(line, (id) => id === 'rest-1').value).to.equal('{"eventId":"rest-1","a":1}')
  })

  it('knows a record without an id by its value', () => {
    expect(recordOf('Partition:3\u0001Offset:17\u0001key\u0001{"eve', () => false).id).to.equal('{"eve')
  })
})
