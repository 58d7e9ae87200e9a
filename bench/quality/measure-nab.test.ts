import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { loadPipeline } from '../../lib/pipeline/load-pipeline.ts'
import { measureNab } from './measure-nab.ts'

const rows = 3000
const spike = 2500
const timeOf = (row: number) =>
  new Date(Date.UTC(2014, 3, 1) + row * 300_000).toISOString().replace('T', ' ').slice(0, 19)

describe('measureNab', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nab-'))
    mkdirSync(join(folder, 'data/one'), { recursive: true })
    mkdirSync(join(folder, 'data/two'))
    const profiles = { standard: { CostMatrix: { tpWeight: 1, fpWeight: 0.11, fnWeight: 1 } } }
    writeFileSync(join(folder, 'profiles.json'), JSON.stringify(profiles))
  })

  afterEach(() => rmSync(folder, { recursive: true }))

  function writeSeries(name: string, valueAt: (row: number) => number): void {
    const lines = Array.from({ length: rows }, (_, row) => `${timeOf(row)},${valueAt(row)}`)
    writeFileSync(join(folder, 'data', name), ['timestamp,value', ...lines, ''].join('\n'))
  }

  function writeWindows(windows: Readonly<Record<string, readonly (readonly [number, number])[]>>): void {
    const times = Object.entries(windows).map(([name, limits]) => [
      name,
      limits.map((limit) => limit.map((row) => `${timeOf(row)}.000000`)),
    ])
    writeFileSync(join(folder, 'windows.json'), JSON.stringify(Object.fromEntries(times)))
  }

  const measure = async () =>
    measureNab(folder, await loadPipeline(join(import.meta.dirname, '../../manifests/pipelines/timeseries.yaml')))

  it('scores each series by its own windows', async () => {
    const wave = (row: number) => Math.sin(row / 10) + 0.1 * Math.sin(row * row)
    writeSeries('one/calm.csv', wave)
    writeSeries('two/spiked.csv', (row) => (row === spike ? 30 : wave(row)))

    writeWindows({ 'one/calm.csv': [], 'two/spiked.csv': [[spike, spike + 50]] })
    const found = (await measure()).figures[0]!
    writeWindows({ 'one/calm.csv': [[spike, spike + 50]], 'two/spiked.csv': [] })
    const missed = (await measure()).figures[0]!

    expect(found.name).to.equal('standard')
    // The spike on the window's first row; what else is alerted costs .11 each of a range of 2.
    expect(found.pipeline).to.be.within(60, 100)
    expect(found.baseline).to.be.within(60, 100)
    expect(missed.pipeline).to.be.below(0)
  })

  it('names a series that is absent, and a window that is in no row', async () => {
    const failure = () =>
      measure().then(
        () => undefined,
        (error: Error) => error.message,
      )
    writeWindows({ 'one/absent.csv': [] })
    expect(await failure()).to.equal(`${join(folder, 'data/one/absent.csv')}: named in windows.json, but absent`)
    writeSeries('one/calm.csv', () => 1)
    writeWindows({ 'one/calm.csv': [[10, rows + 1]] })
    expect(await failure()).to.match(/^one\/calm.csv: no row at .* where windows.json has a window$/)
  })
})
