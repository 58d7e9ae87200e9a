import { expect } from 'chai'
import { AppError } from '../lib/errors.ts'
import { problemOf } from './problem.ts'
import { errorOfStatus } from './runtime/kube-status.ts'

const refusal = (code: number, message: string) => errorOfStatus('apply Deployment shop/api', { message }, code)

describe('problemOf', () => {
  it('says that a person must act where the API server says no, and what it said', () => {
    const { reason, message, stalled } = problemOf(refusal(403, 'exceeded quota: full'))
    expect([reason, stalled]).to.deep.equal(['ApplyRefused', true])
    expect(message).to.contain('Deployment shop/api').and.to.contain('exceeded quota: full')
    expect(problemOf(refusal(422, 'spec.x: Forbidden'))).to.include({ reason: 'ApplyRefused', stalled: true })
  })

  it('takes a field that the kind does not have for a refusal, whatever the code', () => {
    const said =
      'failed to create typed patch object: .spec.template.spec.affinity.nodeAfinity: field not declared in schema'
    expect(problemOf(refusal(500, said))).to.include({ reason: 'ApplyRefused', stalled: true })
  })

  it('says that a name is taken', () => {
    const error = new AppError('Conflict', 'it exists already')
    expect(problemOf(error)).to.deep.equal({ reason: 'NameTaken', message: 'it exists already', stalled: true })
  })

  it('has no need of people for what passes', () => {
    for (const error of [
      refusal(500, 'etcd'),
      refusal(429, 'busy'),
      refusal(409, 'changed'),
      new AppError('Unavailable', 'x'),
    ])
      expect(problemOf(error)).to.include({ reason: 'ApplyFailed', stalled: false })
    expect(problemOf(new TypeError('x'))).to.include({ reason: 'ReconcileFailed', stalled: false })
  })
})
