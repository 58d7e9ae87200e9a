import { expect } from 'chai'
import { AppError } from '../errors.ts'
import { failureOf, KafkaError, kafkaErrorOf } from './errors.ts'

describe('kafka errors', () => {
  const wrapped = (fields: object): Error =>
    new Error('retries exceeded', { cause: Object.assign(new Error('a'), fields) })

  it("finds Kafka's own error under those that wrap it", () => {
    expect(failureOf(wrapped({ type: 'INVALID_PRODUCER_EPOCH' }))).to.equal('Fenced')
    expect(failureOf(wrapped({ type: 'MESSAGE_TOO_LARGE' }))).to.equal('TooLarge')
    expect(failureOf(wrapped({ type: 'NOT_COORDINATOR_FOR_GROUP' }))).to.equal('Coordinator')
    expect(failureOf(wrapped({ name: 'KafkaJSConnectionClosedError' }))).to.equal('Passing')
    expect(failureOf(wrapped({}))).to.equal('Other')
    expect(failureOf(undefined)).to.equal('Other')
  })

  it('knows the errors that are newer than the client by their number', () => {
    const fields = { type: 'KAFKAJS_UNKNOWN_ERROR_CODE', code: -99 }
    expect(failureOf(Object.assign(new Error('Unknown error code 90'), fields))).to.equal('Fenced')
  })

  it('takes a producer as fenced whatever else is said of it', () => {
    const cause = Object.assign(new Error('b'), { type: 'INVALID_PRODUCER_EPOCH' })
    expect(failureOf(Object.assign(new Error('a', { cause }), { type: 'REQUEST_TIMED_OUT' }))).to.equal('Fenced')
  })

  it('says what it asks of the caller, and keeps an error that is one of ours', () => {
    const error = kafkaErrorOf(wrapped({ type: 'UNKNOWN_TOPIC_OR_PARTITION' }), 'read the offsets of t') as KafkaError
    expect([error.failure, error.code]).to.deep.equal(['Missing', 'NotFound'])
    expect(error.message).to.equal('Cannot read the offsets of t: retries exceeded')
    expect(failureOf(new AppError('Unavailable', 'x', { cause: error }))).to.equal('Missing')
    expect(kafkaErrorOf(error, 'x')).to.equal(error)
    expect(failureOf(new KafkaError('Rejoin', 'fenced'))).to.equal('Rejoin')
  })
})
