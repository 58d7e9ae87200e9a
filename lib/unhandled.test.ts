import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const module = fileURLToPath(new URL('./unhandled.ts', import.meta.url))

/** Runs a program that would go on for ever. */
function run(program: string) {
  const source = `
    const { exitOnUnhandled } = await import(${JSON.stringify(module)})
    exitOnUnhandled(process)
    setInterval(() => {}, 1000)
    ${program}`
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', source], {
    encoding: 'utf8',
  })
  return { status, lines: stderr.trim().split('\n') }
}

describe('exitOnUnhandled()', () => {
  it('ends a process in which a promise is rejected that nobody awaits, with one line that says where', () => {
    const { status, lines } = run("Promise.reject(new TypeError('no such\\n  thing'))")
    expect(status).to.equal(1)
    expect(lines).to.have.length(1)
    expect(lines[0]).to.match(
      /^anomaly: ended by an error that nothing handles: TypeError: no such thing \(at .*:5:\d+\)$/,
    )
  })

  it('ends a process in which a callback throws', () => {
    const { status, lines } = run("setTimeout(() => { throw 'out' })")
    expect([status, lines]).to.deep.equal([1, ['anomaly: ended by an error that nothing handles: out']])
  })
})
