import { spawnSync } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { temporaryFolder } from './temporary-folder.ts'
import { checkWritable, writeWhole } from './whole-file.ts'

describe('A whole file', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())

  it('replaces what was there, also behind a link', () => {
    const path = folder.write('replaced/a.html', 'what was there before, and is longer')
    const link = join(folder.path, 'replaced/link.html')
    symlinkSync(path, link)
    for (const [place, text] of [
      [path, 'one'],
      [link, 'two'],
      [join(folder.path, 'replaced/new.html'), 'three'],
    ] as const) {
      checkWritable(place)
      writeWhole(place, text)
      expect(readFileSync(place, 'utf8')).to.equal(text)
    }
    expect(readFileSync(path, 'utf8')).to.equal('two')
    expect(lstatSync(link).isSymbolicLink()).to.equal(true)
    expect(readdirSync(join(folder.path, 'replaced'))).to.have.members(['a.html', 'link.html', 'new.html'])
  })

  it('says beforehand that it cannot be written, and leaves nothing behind', () => {
    const old = folder.write('checked/old.html', 'old')
    checkWritable(old)
    checkWritable(join(folder.path, 'checked/new.html'))
    expect(readdirSync(join(folder.path, 'checked'))).to.deep.equal(['old.html'])
    expect(readFileSync(old, 'utf8')).to.equal('old')
    const nowhere = join(folder.path, 'missing', 'a.html')
    expect(() => checkWritable(nowhere))
      .to.throw(AppError, `${nowhere}: cannot be written: there is no such folder`)
      .with.property('code', 'OutputFailed')
    expect(() => checkWritable(folder.path)).to.throw(AppError, `${folder.path}: cannot be written: it is a folder`)
  })

  it('writes to a device as it is', function () {
    if (!existsSync('/dev/full')) return this.skip()
    checkWritable('/dev/null')
    writeWhole('/dev/null', 'text')
    checkWritable('/dev/full')
    expect(() => writeWhole('/dev/full', 'text')).to.throw(AppError, '/dev/full: cannot be written: no space left')
  })

  it('leaves what was there where there is no room', function () {
    if (process.platform === 'win32') return this.skip()
    const path = folder.write('limited/a.html', 'old')
    const program = `
      import { writeWhole } from ${JSON.stringify(new URL('./whole-file.ts', import.meta.url).href)}
      try { writeWhole(${JSON.stringify(path)}, 'x'.repeat(10_000)) } catch (error) { console.log(error.message) }`
    const args = [process.execPath, '--input-type=module', '--disable-warning=ExperimentalWarning', '-e', program]
    const child = spawnSync('sh', ['-c', 'ulimit -f 3 && exec "$@"', 'sh', ...args], { encoding: 'utf8' })
    expect(child.stderr).to.equal('')
    expect(child.stdout).to.match(/a\.html: cannot be written: .+\n$/)
    expect(readFileSync(path, 'utf8')).to.equal('old')
    expect(readdirSync(join(folder.path, 'limited'))).to.deep.equal(['a.html'])
  })
})
