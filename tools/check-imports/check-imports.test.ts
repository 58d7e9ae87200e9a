import { expect } from 'chai'
import { brokenRules, importsOf } from './check-imports.ts'
import { house, pure } from './house.ts'

const rules = { house, pure }
/** Files with nothing but an import each, as `path: imported`. */
const broken = (...edges: readonly (readonly [path: string, imported: string])[]): string[] => {
  const sources = new Map<string, string>()
  for (const [, imported] of edges) if (imported.includes('/')) sources.set(imported, '')
  for (const [path, imported] of edges) sources.set(path, `import { a } from '${relative(path, imported)}'\n`)
  return brokenRules(sources, rules)
}
const relative = (path: string, imported: string): string =>
  /^(node:|[a-z]+$)/.test(imported) ? imported : `${'../'.repeat(path.split('/').length - 1)}${imported}`

describe('importsOf()', () => {
  it('finds every form of import', () => {
    const text = [
      "import type { A } from '../lib/a.ts'",
      'import {',
      '  b,',
      "} from './b.ts'",
      "export { c } from './c.ts'",
      "import 'yaml'",
      "const d = await import('./d.ts')",
    ].join('\n')
    expect(importsOf('operator/x.ts', text)).to.deep.equal([
      ...['lib/a.ts', 'operator/b.ts', 'operator/c.ts', 'yaml', 'operator/d.ts'],
    ])
  })
})

describe('The house', () => {
  const refused = [
    ['lib/log.ts', 'lib/pipeline/spec.ts'],
    ['lib/pipeline/spec.ts', 'workloads/wire/decode.ts'],
    ['lib/kafka/client.ts', 'operator/status.ts'],
    ['operator/runtime/queue.ts', 'operator/kinds.ts'],
    ['operator/runtime/queue.ts', 'lib/pipeline/spec.ts'],
    ['operator/status.ts', 'workloads/detection/verdict.ts'],
    ['workloads/detection/verdict.ts', 'workloads/wire/decode.ts'],
    ['workloads/detection/verdict.ts', 'lib/log.ts'],
    ['workloads/wire/decode.ts', 'workloads/streams/stream.ts'],
    ['workloads/files/read-events.ts', 'workloads/judging/processor.ts'],
    ['workloads/streams/kafka.ts', 'workloads/state/state.ts'],
    ['workloads/judging/processor.ts', 'workloads/rest/door.ts'],
    ['workloads/rest/app.ts', 'workloads/api/main.ts'],
    ['workloads/backtest/backtest.ts', 'workloads/local/run.ts'],
    ['workloads/consumer/main.ts', 'operator/status.ts'],
  ] as const
  for (const [path, imported] of refused)
    it(`does not let ${path} import ${imported}`, () => {
      const lines = broken([path, imported])
      expect(lines).to.have.length(1)
      expect(lines[0]).to.match(new RegExp(`^${path} imports ${imported}: .* may not import `))
    })

  const roles = ['consumer', 'api', 'inference', 'local'].map((role) => `workloads/${role}/main.ts`)
  it('lets no role import a role', () => {
    const all = [...roles, 'operator/main.ts']
    for (const role of all) for (const other of all) expect(broken([role, other]), `${role} ${other}`).to.have.length(1)
  })

  it('lets bin import every role, and each room what lies below it', () => {
    const allowed = [...roles, 'operator/main.ts'].map((role) => ['bin/anomaly.ts', role] as const)
    expect(
      broken(
        ...allowed,
        ['workloads/wire/decode.ts', 'workloads/detection/event.ts'],
        ['workloads/judging/processor.ts', 'workloads/state/state.ts'],
        ['workloads/api/serve.ts', 'workloads/rest/app.ts'],
      ),
    ).to.deep.equal([])
  })

  it('keeps the mathematics from packages and from Node.js', () => {
    for (const name of ['node:fs', 'yaml'])
      expect(broken(['workloads/detection/model.ts', name])).to.deep.equal([
        `workloads/detection/model.ts imports ${name}: workloads/detection is pure`,
      ])
  })

  it('finds circles, of types as well', () => {
    const circle = broken(['lib/a.ts', 'lib/b.ts'], ['lib/b.ts', 'lib/c.ts'], ['lib/c.ts', 'lib/a.ts'])
    expect(circle).to.have.length(1)
    expect(circle[0]).to.match(/^import circle: lib\/.\.ts -> lib\/.\.ts -> lib\/.\.ts -> lib\/.\.ts$/)
  })

  it('asks for the place of a new room', () => {
    expect(broken(['workloads/labels/labels.ts', 'lib/log.ts'])).to.deep.equal([
      'workloads/labels/labels.ts is in no room of tools/check-imports/house.ts',
    ])
  })

  it('lets tests import what they need', () => {
    expect(broken(['workloads/detection/model.test.ts', 'workloads/judging/processor.ts'])).to.deep.equal([])
  })
})
