import { expect } from 'chai'
import { decideOfPair, fenceSeconds, type PairInput, type RedisInfo, type SeenServer } from './redis-pair.ts'

const leading: RedisInfo = {
  role: 'master',
  isLoading: false,
  follows: ':',
  isLinked: false,
  isFollowed: true,
  minReplicas: 1,
  keys: 9,
}
const following: RedisInfo = {
  ...leading,
  role: 'slave',
  follows: '10.0.0.1:6379',
  isLinked: true,
  isFollowed: false,
  minReplicas: 0,
}
const waiting: RedisInfo = { ...following, follows: '127.0.0.1:1', isLinked: false }
const a = (info?: RedisInfo): SeenServer => ({ pod: 'a', address: '10.0.0.1:6379', info })
const b = (info?: RedisInfo): SeenServer => ({ pod: 'b', address: '10.0.0.2:6379', info })
const inSync = { primary: 'a', inSync: true }
const behind = { primary: 'a', inSync: false }
const long = (fenceSeconds + 2) * 1000

function decided(input: Partial<PairInput> & Pick<PairInput, 'servers'>): string[] {
  const { record, orders } = decideOfPair({ record: inSync, apartMs: 0, ...input })
  const told = orders.flatMap(({ pod, commands }) => commands.map((words) => `${pod}: ${words.join(' ')}`))
  return [...told, `${record.primary}${record.inSync ? ' in sync' : ''}`]
}
const leads = (pod: string) => [`${pod}: CONFIG SET min-replicas-to-write 0`, `${pod}: REPLICAOF NO ONE`]

describe('decideOfPair', () => {
  it('leaves a pair alone that is as it should be', () => {
    expect(decided({ servers: [a(leading), b(following)] })).to.deep.equal(['a in sync'])
  })

  it('begins with the first, which the second follows before it may take over', () => {
    const record = behind
    expect(decided({ record, servers: [a(waiting), b(waiting)] })).to.deep.equal([...leads('a'), 'a'])
    const alone = { ...leading, isFollowed: false, minReplicas: 0 }
    expect(decided({ record, servers: [a(alone), b(waiting)] })).to.deep.equal([
      'b: REPLICAOF 10.0.0.1 6379',
      'b: CLIENT KILL TYPE normal SKIPME yes',
      'a',
    ])
    const followed = { ...leading, minReplicas: 0 }
    expect(decided({ record, servers: [a(followed), b(following)] })).to.deep.equal([
      'a: CONFIG SET min-replicas-to-write 1',
      'a',
    ])
    expect(decided({ record, servers: [a(leading), b(following)] })).to.deep.equal(['a in sync'])
  })

  it('lets the second lead when the first is gone for longer than it would take writes', () => {
    const servers = [a(), b({ ...following, isLinked: false })] as const
    expect(decided({ servers, apartMs: long - 1 })).to.deep.equal(['a in sync'])
    expect(decided({ servers, apartMs: long })).to.deep.equal([...leads('b'), 'b'])
    // It may lack what was written since.
    expect(decided({ record: behind, servers, apartMs: 10 * long })).to.deep.equal(['a'])
    // Who cannot reach the first is the operator alone.
    expect(decided({ servers: [a(), b(following)], apartMs: 10 * long })).to.deep.equal(['a in sync'])
  })

  it('finishes what it began before it was written down', () => {
    expect(decided({ servers: [a(), b(leading)] })).to.deep.equal(['b'])
    expect(decided({ servers: [a(waiting), b(leading)] })).to.deep.equal(['b'])
  })

  it('makes a former primary follow, and cuts its clients off', () => {
    const record = { primary: 'b', inSync: false }
    expect(
      decided({ record, servers: [a(leading), b({ ...leading, isFollowed: false, minReplicas: 0 })] }),
    ).to.deep.equal(['a: REPLICAOF 10.0.0.2 6379', 'a: CLIENT KILL TYPE normal SKIPME yes', 'b'])
  })

  it('writes down that nobody may take over before the primary may do without', () => {
    const alone = { ...leading, isFollowed: false }
    expect(decided({ servers: [a(alone), b()] })).to.deep.equal(['a'])
    expect(decided({ record: behind, servers: [a(alone), b()] })).to.deep.equal([
      'a: CONFIG SET min-replicas-to-write 0',
      'a',
    ])
  })

  it('lets the other lead where the primary started again: it may lack what it wrote last', () => {
    expect(decided({ servers: [a(waiting), b({ ...following, isLinked: false })] })).to.deep.equal([...leads('b'), 'b'])
    // That one may come at any moment.
    expect(decided({ servers: [a(waiting), b()] })).to.deep.equal(['a in sync'])
    expect(decided({ servers: [a(waiting), b()], apartMs: 30_000 })).to.deep.equal(['a'])
    expect(decided({ servers: [a({ ...waiting, isLoading: true }), b(following)] })).to.deep.equal(['a in sync'])
  })

  it('lets the primary go on where both started again, unless it has lost its data', () => {
    expect(decided({ servers: [a(waiting), b(waiting)] })).to.deep.equal(['a'])
    expect(decided({ servers: [a({ ...waiting, keys: 0 }), b(waiting)] })).to.deep.equal([...leads('b'), 'b'])
  })

  it('hands over to the pod that is to be the only one', () => {
    const input = { servers: [a(leading), b(following)] as const, home: 'b' }
    expect(decided(input)).to.deep.equal(['a: FAILOVER TIMEOUT 5000', 'a in sync'])
    expect(decided({ ...input, home: 'a' })).to.deep.equal(['a in sync'])
  })
})
