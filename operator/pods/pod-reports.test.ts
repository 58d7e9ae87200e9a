import { expect } from 'chai'
import type { Role } from '../../lib/pipeline/spec.ts'
import { unreadyCause } from './pod-answer.ts'
import { alertRateOf, configOf, episodesOf, mergeAnswers, recordLagOf } from './pod-reports.ts'

const answers = (role: Role, ...statuses: readonly unknown[]) =>
  statuses.map((status, index) => ({ role, pod: `${role}-${index}`, status }))

describe('episodesOf', () => {
  it('adds up what consumers tell, and nothing of anybody else', () => {
    const told = [
      ...answers('consumer', { episodes: 2, openEpisodes: 1 }, { episodes: 3, openEpisodes: 0 }, { episodes: 'x' }),
      ...answers('inference', { episodes: 9, openEpisodes: 9 }),
    ]
    expect(episodesOf(told)).to.deep.equal({ open: 1, lastHour: 5 })
    expect(episodesOf(answers('consumer', {}, null))).to.equal(undefined)
    const far = answers('consumer', { episodes: 1e300, openEpisodes: -1.5 })
    expect(episodesOf(far)).to.deep.equal({ open: 0, lastHour: 2 ** 31 - 1 })
  })
})

describe('recordLagOf', () => {
  const lag = (verdicts: unknown, episodes: unknown = 0) => {
    return { history: { problem: 'ok', lag: { verdict: { records: verdicts }, episode: { records: episodes } } } }
  }

  it('adds up what recorders tell, of verdicts and of episodes, and nothing of anybody else', () => {
    const told = [...answers('recorder', lag(7, 2), lag(1), {}, lag('x', -1)), ...answers('consumer', lag(9))]
    expect(recordLagOf(told)).to.equal(10)
    expect(recordLagOf(answers('recorder', {}, null, { history: { lag: 3 } }))).to.equal(undefined)
  })
})

describe('configOf', () => {
  it('is the oldest generation that a pod still judges by', () => {
    const told = [
      ...answers('consumer', { generation: 4 }, { generation: 3 }, {}),
      ...answers('api', { generation: 'x' }),
    ]
    expect(configOf(told)).to.equal(3)
    expect(configOf(answers('consumer', {}, null, { generation: -1 }, { generation: 1.5 }))).to.equal(undefined)
  })
})

describe('mergeAnswers', () => {
  it('takes the model of most rows', () => {
    const merged = mergeAnswers(
      answers('inference', { modelVersion: 'v1', modelRows: 5000 }, { modelVersion: 'v2', modelRows: 9000 }),
    )
    expect(merged.model).to.deep.equal({ version: 'v2', rows: 9000 })
  })

  it('tells of the last candidate where it was out of bounds, and of the challenger beside the champion', () => {
    const model = { modelVersion: 'v1', modelRows: 5000 }
    const refused = { version: 'v2', rows: 9000, outcome: 'Refused', reason: 'it would alert on half of the rows' }
    const figures = (rows: number, agreement: number | null) => ({
      ...{ percentOfKeys: 20, agreement, champion: { version: 'v1', rows: 900 } },
      challenger: { version: 'v3', rows },
    })
    const counts = (events: number, alerts: number, confirmed: number, falseAlarms: number) => ({
      ...{ events, alerts, confirmed, falseAlarms },
    })
    const merged = mergeAnswers([
      ...answers('inference', { ...model, models: [refused], challenger: figures(100, 0.9) }),
      ...answers('inference', { ...model, challenger: figures(300, 0.5) }, { ...model, challenger: figures(0, null) }),
      ...answers(
        'consumer',
        { challenge: { challenger: counts(900, 2, 1, 0), champion: counts(3000, 3, 0, 0) } },
        { challenge: { challenger: counts(100, 1, 2, 1), champion: counts(3000, 3, 0, 0) } },
      ),
    ])
    expect(merged.model).to.deep.equal({
      version: 'v1',
      rows: 5000,
      candidate: { version: 'v2', outcome: 'Refused', message: 'it would alert on half of the rows' },
      challenger: {
        ...{ version: 'v3', percentOfKeys: 20, alertsPerMillion: 3000, championAlertsPerMillion: 1000 },
        ...{ agreementPercent: 60, precisionPercent: 75 },
      },
    })
    const took = mergeAnswers(answers('inference', { ...model, models: [{ ...refused, outcome: 'TookOver' }] }))
    expect(took.model).to.deep.equal({ version: 'v1', rows: 5000 })
  })

  it('says where the pipeline names a model that is not kept', () => {
    const modelProblems = {
      ...{ pin: 'model v0 is not kept', challenger: 'model v9 cannot be read' },
      onnx: 'model mine did not answer within 100 ms',
    }
    expect(mergeAnswers(answers('inference', { modelProblems })).degradations).to.deep.equal([
      {
        reason: 'OnnxUnavailable',
        message: 'inference: model mine did not answer within 100 ms; the other detectors decide',
      },
      {
        reason: 'PinnedModelMissing',
        message: 'model v0 is not kept: detection.model.pin changes nothing, the present model serves',
      },
      {
        reason: 'ChallengerMissing',
        message: 'model v9 cannot be read: detection.model.challenger decides on no keys',
      },
    ])
  })

  it('takes nothing of models on trust', () => {
    const challenger = { percentOfKeys: -7, agreement: 1e300, challenger: { version: 'v'.repeat(999), rows: 1 } }
    const models = [{ version: 'v2', rows: 1, outcome: 'Refused', reason: 'x'.repeat(5000) }]
    const { model } = mergeAnswers([
      ...answers('inference', { modelVersion: 'v1', models, challenger }, { modelVersion: 'v1', models: [null] }),
      ...answers('consumer', { challenge: { challenger: { events: 'x', confirmed: 5, falseAlarms: -4 } } }),
    ])
    expect(model!.candidate!.message).to.have.length(1024)
    const { version, ...figures } = model!.challenger!
    expect(version).to.have.length(320)
    expect(figures).to.deep.equal({ percentOfKeys: 0, agreementPercent: 100, precisionPercent: 100 })
  })

  it('knows a first model that is learning from pods that say nothing', () => {
    expect(mergeAnswers(answers('inference', { modelVersion: 'LEARNING', modelRows: 0 })).model).to.equal(null)
    expect(mergeAnswers([])).to.deep.equal({})
    expect(mergeAnswers([...answers('consumer', {}, null, 'x', []), ...answers('inference', {})])).to.deep.equal({
      degradations: [],
    })
  })

  it('passes on nothing that the API server would refuse in a status', () => {
    const model = { modelVersion: 'v'.repeat(400), modelRows: -1, modelFitTime: 'yesterday' }
    expect(mergeAnswers(answers('inference', model)).model).to.deep.equal({ version: 'v'.repeat(320) })
    const fitTime = '2025-06-01T12:00:00.000Z'
    expect(mergeAnswers(answers('inference', { ...model, modelFitTime: fitTime })).model).to.include({ fitTime })
    const { state } = mergeAnswers(answers('api', { redis: 'x'.repeat(100_000) }))
    expect(state?.problem).to.have.length.below(600)
  })

  it('says which receiver of notifications cannot be told', () => {
    const notifications = {
      pager: { problem: 'ok', waiting: 0 },
      chat: { problem: 'https://chat answers 410', waiting: 3 },
    }
    const told = [...answers('recorder', { notifications }), ...answers('consumer', { notifications })]
    expect(mergeAnswers(told).degradations).to.deep.equal([
      { reason: 'ReceiverUnavailable', message: 'recorder: notification chat: https://chat answers 410' },
    ])
    expect(mergeAnswers(answers('recorder', { notifications: { chat: 'x' } }, {})).degradations).to.deep.equal([])
  })

  it('says that the history is away as a recorder says it', () => {
    const away = { history: { problem: 'no connection to anomaly at db:5432 (since 2025-06-01T12:00:00Z)' } }
    const told = [...answers('recorder', { history: { problem: 'ok' } }, away), ...answers('api', away)]
    expect(mergeAnswers(told).degradations).to.deep.equal([
      {
        reason: 'HistoryUnavailable',
        message: `recorder: ${away.history.problem}; what is published waits to be recorded`,
      },
    ])
  })

  it('says that the store is away as soon as one pod says so, and the same while it stays away', () => {
    const away = (seconds: number) =>
      mergeAnswers([
        ...answers('inference', { store: 'ok' }),
        ...answers('consumer', { redis: `redis:6379 is unreachable for ${seconds} s: refused` }),
      ])
    expect(away(100).state).to.deep.equal({ problem: 'consumer: redis:6379 is unreachable: refused' })
    expect(away(110)).to.deep.equal(away(100))
    expect(mergeAnswers(answers('inference', { store: 'ok' })).state).to.deep.equal({})
  })

  it('names what a pipeline goes on with but should not, the gravest first', () => {
    const conditions = { keysMisplaced: true, offsetsLost: 12, schemaFull: false }
    const { degradations } = mergeAnswers(answers('consumer', { redis: 'ok', inference: 'no answer', conditions }))
    expect(degradations?.map(({ reason }) => reason)).to.deep.equal([
      'ModelUnavailable',
      'OffsetsLost',
      'KeysMisplaced',
    ])
  })
})

describe('alertRateOf', () => {
  it('is of all events of the consumers, and none of a handful', () => {
    const counts = [{ events: 90_000, alerts: 90 }, { events: 10_000, alerts: 60 }, {}, null]
    expect(alertRateOf(answers('consumer', ...counts))).to.equal(1500)
    expect(alertRateOf(answers('consumer', { events: 20, alerts: 1 }))).to.equal(undefined)
    expect(alertRateOf(answers('consumer', { events: Number.NaN, alerts: 1 }))).to.equal(undefined)
  })
})

describe('unreadyCause', () => {
  it('is what the checks say that fail', () => {
    const readyz =
      '[+]shutdown ok\n[-]models failed: redis:6379 is unreachable for 12 s: refused\n[-]x failed: y\nfailed\n'
    expect(unreadyCause(readyz)).to.equal('models: redis:6379 is unreachable: refused; x: y')
    expect(unreadyCause('[+]shutdown ok\nok\n')).to.equal(undefined)
  })
})
