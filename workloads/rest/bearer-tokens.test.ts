import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { createLogger } from '../../lib/log.ts'
import { eventually } from '../../test/harness/eventually.ts'
import { type BearerTokens, createBearerTokens } from './bearer-tokens.ts'

const log = await createLogger({ level: 'silent' })

describe('Bearer tokens', () => {
  let folder: string
  let tokens: BearerTokens | undefined
  let version = 0

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'anomaly-tokens-'))
  })
  afterEach(async () => {
    await tokens?.stop?.()
    tokens = undefined
    rmSync(folder, { recursive: true })
  })

  /** As the kubelet writes a Secret: a hidden folder a version, a link to it, links to its files. */
  function mount(entries: Readonly<Record<string, string>>): void {
    const hidden = `..version-${version++}`
    mkdirSync(join(folder, hidden))
    for (const [name, text] of Object.entries(entries)) writeFileSync(join(folder, hidden, name), text)
    symlinkSync(hidden, join(folder, '..next'))
    renameSync(join(folder, '..next'), join(folder, '..data'))
    for (const name of Object.keys(entries)) {
      rmSync(join(folder, name), { force: true })
      symlinkSync(join('..data', name), join(folder, name))
    }
  }

  async function started(): Promise<BearerTokens> {
    tokens = createBearerTokens({ folder, log, everyMs: 5 })
    await tokens.start?.(new AbortController().signal)
    return tokens
  }

  it('are the files of a mounted Secret, one token a file', async () => {
    mount({ ci: 'token-of-ci\n', dashboard: 'token-of-dashboard' })
    expect((await started()).current()).to.deep.equal(['token-of-ci', 'token-of-dashboard'])
  })

  it('follow the Secret when it changes', async () => {
    mount({ ci: 'first' })
    const { current } = await started()
    mount({ ci: 'second', dashboard: 'third' })
    await eventually(() => expect(current()).to.deep.equal(['second', 'third']), 2000)
    unlinkSync(join(folder, 'ci'))
    await eventually(() => expect(current()).to.deep.equal(['third']), 2000)
  })

  it('stay as they are while the files cannot be read', async () => {
    mount({ ci: 'first' })
    const { current } = await started()
    writeFileSync(join(folder, 'broken'), '')
    await new Promise((done) => setTimeout(done, 30))
    expect(current()).to.deep.equal(['first'])
    unlinkSync(join(folder, 'broken'))
    mount({ ci: 'second' })
    await eventually(() => expect(current()).to.deep.equal(['second']), 2000)
  })

  it('may come from one file', () => {
    const file = join(folder, 'token')
    writeFileSync(file, 'only\n')
    expect(createBearerTokens({ file, log }).current()).to.deep.equal(['only'])
  })

  it('must be there to begin with', () => {
    expect(() => createBearerTokens({ folder, log })).to.throw(/there is no file in/)
    expect(() => createBearerTokens({ folder: '/nowhere', log })).to.throw(/Cannot read \/nowhere/)
    writeFileSync(join(folder, 'empty'), '\n')
    expect(() => createBearerTokens({ folder, log })).to.throw(/it must hold one line/)
  })
})
