import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Logger } from '../log.ts'
import { fixedDetection, livePipeline } from './live-pipeline.ts'
import { loadPipeline } from './load-pipeline.ts'

describe('A pipeline whose file changes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'live-pipeline-'))
  const path = join(folder, 'pipeline.yaml')
  after(() => rmSync(folder, { recursive: true }))

  const write = (generation: number, detection: object, others: object = {}) => {
    const document = {
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'payments', generation },
      spec: { source: { brokers: ['localhost:9092'] }, detection, ...others },
    }
    writeFileSync(`${path}.new`, JSON.stringify(document))
    renameSync(`${path}.new`, path)
  }
  const logged: { readonly level: string; readonly fields: object; readonly message: string }[] = []
  const as = (level: string) => (fields: object, message: string) => void logged.push({ level, fields, message })
  const log: Logger = { debug: as('debug'), info: as('info'), warn: as('warn'), error: as('error') }
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2))
  }

  async function watched() {
    write(1, { alertBudgetPerMillion: 1000, rules: [{ name: 'limit', field: 'value', above: '100' }] })
    logged.length = 0
    const live = livePipeline(path, await loadPipeline(path), { log, everyMs: 2 })
    await live.start!(new AbortController().signal)
    return live
  }

  it('takes up alert budget, threshold, refractory period, rules, mutes and calendars, and says so in one line', async () => {
    const live = await watched()
    const before = live.detection
    const mutes = [{ keys: ['user-*'], until: '2026-02-01T00:00:00Z' }]
    write(2, { threshold: '0.99', refractorySeconds: 7, rules: [{ name: 'other', field: 'value', above: '7' }], mutes })
    await until(() => live.generation === 2)
    expect(live.detection).to.not.equal(before)
    expect(live.detection).to.deep.include({ threshold: '0.99', refractorySeconds: 7, mutes })
    expect(live.detection.alertBudgetPerMillion).to.equal(undefined)
    expect(live.detection.rules.map(({ name }) => name)).to.deep.equal(['other'])
    expect(logged.map(({ level, fields }) => ({ level, ...fields }))).to.deep.equal([
      { level: 'info', generation: 2, threshold: '0.99', rules: ['other'], mutes: 1, calendars: 0 },
    ])
    await live.stop!()
  })

  it('stays the same object where nothing of that has changed, and leaves the rest to the next start', async () => {
    const live = await watched()
    const before = live.detection
    const rules = [{ name: 'limit', field: 'value', above: '100' }]
    write(2, { alertBudgetPerMillion: 1000, rules, onModelUnavailable: 'Wait' })
    await until(() => live.generation === 2)
    expect(live.detection).to.equal(before)
    expect(logged.map(({ message }) => message)).to.deep.equal([
      'the pipeline has changes that take effect when the process starts again',
    ])
    await live.stop!()
  })

  it('takes up notifications and where people reach it', async () => {
    const live = await watched()
    const before = live.notifications
    const notifications = [{ name: 'chat', slack: { urlSecretRef: { name: 'slack', key: 'url' } } }]
    const detection = { alertBudgetPerMillion: 1000, rules: [{ name: 'limit', field: 'value', above: '100' }] }
    const results = { episodesTopic: 'episodes' }
    const told = { notifications, results, api: { externalUrl: 'https://anomaly.example.com' } }
    write(2, detection, told)
    await until(() => live.generation === 2)
    expect(before).to.deep.equal([])
    expect(live.notifications).to.deep.equal(notifications)
    expect(live.externalUrl).to.equal('https://anomaly.example.com')
    const taken = live.notifications
    write(3, { ...detection, threshold: '0.99', alertBudgetPerMillion: undefined }, told)
    await until(() => live.generation === 3)
    expect(live.notifications).to.equal(taken)
    await live.stop!()
  })

  it('takes up that a history is kept, and that none is any more', async () => {
    const live = await watched()
    const detection = { alertBudgetPerMillion: 1000, rules: [{ name: 'limit', field: 'value', above: '100' }] }
    expect(live.keepsHistory).to.equal(false)
    write(2, detection, { history: { postgres: { urlSecretRef: { name: 'history', key: 'url' } } } })
    await until(() => live.keepsHistory)
    write(3, detection)
    await until(() => !live.keepsHistory)
    expect(logged).to.deep.equal([])
    await live.stop!()
  })

  it('refuses a file that is not valid with one line, keeps the former one, and takes the next', async () => {
    const live = await watched()
    const before = live.detection
    write(2, { alertBudgetPerMillion: -1 })
    await until(() => logged.length > 0)
    rmSync(path)
    await until(() => logged.length > 1)
    expect(live.detection).to.equal(before)
    expect(live.generation).to.equal(1)
    write(3, { alertBudgetPerMillion: 5 })
    await until(() => live.generation === 3)
    expect(live.detection.alertBudgetPerMillion).to.equal(5)
    expect(logged.map(({ level, message }) => `${level} ${message.replace(/:.*/, '')}`)).to.deep.equal([
      'error the changed pipeline is refused',
      'error the pipeline cannot be read again',
      'info the pipeline has changed',
    ])
    await live.stop!()
  })

  it('tells what needs a start from what does not', async () => {
    write(1, { threshold: '0.9', onModelUnavailable: 'Wait' })
    const { spec } = await loadPipeline(path)
    expect(fixedDetection(spec.detection))
      .to.include({ onModelUnavailable: 'Wait' })
      .and.not.have.any.keys('threshold', 'rules', 'refractorySeconds')
  })
})
