import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { FeatureSchema } from '../detection/feature-schema.ts'
import { FeatureUse } from './feature-use.ts'

describe('FeatureUse', () => {
  function open(answer: () => readonly string[]) {
    const schema = new FeatureSchema(['a', 'b', 'c'])
    const told: (readonly string[])[] = []
    const lines: unknown[] = []
    const log = { info: (fields: unknown) => lines.push(fields), warn: () => expect.fail() } as unknown as Logger
    const store = {
      async use(names: readonly string[]) {
        told.push(names)
        return answer()
      },
    }
    return { schema, told, lines, use: new FeatureUse({ store, log, ttlMs: 1, schema: () => schema }) }
  }

  it('tells what events carried since the last time, and nothing where they carried nothing', async () => {
    const { schema, told, use } = open(() => ['a', 'b', 'c'])
    schema.use([1, Number.NaN, Number.NaN])
    schema.use([Number.NaN, Number.NaN, 0])
    await use.tell()
    await use.tell()
    schema.append('d')
    schema.use([Number.NaN, Number.NaN, Number.NaN, 4])
    await use.tell()
    expect(told).to.deep.equal([['a', 'c'], ['d']])
  })

  it('forgets what the store has forgotten, and says so', async () => {
    const { schema, lines, use } = open(() => ['a', '', 'c', 'new'])
    schema.use([1])
    await use.tell()
    expect(schema.names).to.deep.equal(['a', '', 'c', 'new'])
    expect([schema.indexOf('b'), schema.forgotten]).to.deep.equal([undefined, 1])
    expect(lines).to.deep.equal([{ names: ['b'] }])
  })

  it('leaves a list in another order alone, and waits for a store that is away', async () => {
    let isAway = false
    const { schema, use } = open(() => {
      if (isAway) throw new AppError('Unavailable', 'away')
      return ['c', '', 'a']
    })
    for (isAway of [false, true]) {
      schema.use([1])
      await use.tell()
      expect(schema.names).to.deep.equal(['a', 'b', 'c'])
    }
  })
})
