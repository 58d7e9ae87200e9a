import { expect } from 'chai'
import type { FieldSet, KubeObject } from './kube-object.ts'
import { coversIntent, keepOwnedFields } from './owned-fields.ts'

const all: FieldSet = {}

describe('coversIntent', () => {
  const intent: KubeObject = {
    apiVersion: 'v1',
    kind: 'Thing',
    metadata: { name: 'x', namespace: 'a', labels: { app: 'x' }, finalizers: ['f'] },
    spec: {
      ports: [{ port: 80 }, { port: 53, protocol: 'UDP' }],
      atomic: [{ any: 'thing' }],
      empty: {},
      absent: undefined,
    },
  }
  const owned: FieldSet = {
    'f:metadata': { 'f:labels': { 'f:app': all }, 'f:finalizers': { 'v:"f"': all } },
    'f:spec': {
      'f:ports': {
        'k:{"port":53,"protocol":"UDP"}': { '.': all, 'f:port': all, 'f:protocol': all },
        'k:{"port":80,"protocol":"TCP"}': { '.': all, 'f:port': all },
      },
      'f:atomic': all,
      'f:empty': all,
    },
  }
  /** The set without one of its paths; as the API server writes it, nothing empty is left behind. */
  function without(set: FieldSet, [first, ...rest]: readonly string[]): FieldSet {
    const { [first!]: below, ...others } = set
    const left = rest.length === 0 ? {} : without(below!, rest)
    return Object.keys(left).length === 0 ? others : { ...others, [first!]: left }
  }

  it('holds when each field is owned, of lists whole or by item', () => {
    expect(coversIntent(owned, intent)).to.equal(true)
  })

  it('does not hold of an object that nobody applied', () => {
    expect(coversIntent(undefined, intent)).to.equal(false)
  })

  for (const path of [
    ['f:metadata', 'f:labels', 'f:app'],
    ['f:metadata', 'f:finalizers', 'v:"f"'],
    ['f:spec', 'f:ports', 'k:{"port":53,"protocol":"UDP"}'],
    ['f:spec', 'f:ports', 'k:{"port":80,"protocol":"TCP"}', 'f:port'],
    ['f:spec', 'f:atomic'],
    ['f:spec', 'f:empty'],
    ['f:spec'],
  ]) {
    it(`does not hold without ${path.join(' ')}`, () => {
      expect(coversIntent(without(owned, path), intent)).to.equal(false)
    })
  }
})

describe('keepOwnedFields', () => {
  const managedFields = [
    { manager: 'me', operation: 'Update', fieldsV1: { 'f:no': all } },
    { manager: 'me', operation: 'Apply', subresource: 'status', fieldsV1: { 'f:status': all } },
    { manager: 'other', operation: 'Apply', fieldsV1: { 'f:theirs': all } },
    { manager: 'me', operation: 'Apply', fieldsV1: { 'f:data': { 'f:b': all, 'f:a': all } } },
  ]
  const object = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Thing',
    metadata: { name, managedFields: structuredClone(managedFields) },
    data: {},
  })

  it('keeps of managedFields what the manager applied, once for all objects alike', () => {
    const keep = keepOwnedFields('me')
    const [a, b] = [keep(object('a')), keep(object('b'))]
    expect(a).to.deep.equal({
      apiVersion: 'v1',
      kind: 'Thing',
      metadata: { name: 'a', ownedFields: { 'f:data': { 'f:b': {}, 'f:a': {} } } },
      data: {},
    })
    expect(a.metadata.ownedFields).to.equal(b.metadata.ownedFields)
  })

  it('has one set for the children of all owners, and misses an owner that is gone', () => {
    const child = (uid: string): KubeObject => {
      const owners = { '.': all, [`k:{"uid":"${uid}"}`]: all }
      const fieldsV1 = { 'f:metadata': { 'f:labels': { 'f:app': all }, 'f:ownerReferences': owners } }
      const metadata = { name: uid, managedFields: [{ manager: 'me', operation: 'Apply', fieldsV1 }] }
      return { apiVersion: 'v1', kind: 'Thing', metadata }
    }
    const keep = keepOwnedFields('me')
    const [a, b] = [keep(child('a')), keep(child('b'))]
    expect(a.metadata.ownedFields).to.equal(b.metadata.ownedFields)
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Owner', name: 'o', uid: 'a' }]
    const intent: KubeObject = { apiVersion: 'v1', kind: 'Thing', metadata: { name: 'a', ownerReferences } }
    expect(coversIntent(a.metadata.ownedFields, intent)).to.equal(true)
    expect(coversIntent({ 'f:metadata': { 'f:labels': { 'f:app': all } } }, intent)).to.equal(false)
  })

  it('keeps nothing where the manager applied nothing', () => {
    expect(keepOwnedFields('nobody')(object('a')).metadata).to.deep.equal({ name: 'a' })
  })
})
