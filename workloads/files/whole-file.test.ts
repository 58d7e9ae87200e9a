import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
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

  it('writes to standard output, whatever that is', function () {
    if (!existsSync('/dev/stdout')) return this.skip()
    const path = folder.write('output/a.txt', '')
    const program = `
      import { checkWritable, writeWhole } from ${JSON.stringify(new URL('./whole-file.ts', import.meta.url).href)}
      checkWritable('/dev/stdout')
      writeWhole('/dev/stdout', 'text')`
    const node = [process.execPath, '--input-type=module', '--disable-warning=ExperimentalWarning', '-e', program]
    const run = (script: string) => spawnSync('sh', ['-c', script, path, ...node], { encoding: 'utf8' })
    expect(run('"$@" | cat')).to.include({ stdout: 'text', stderr: '' })
    expect(run('("$@"; echo " and more" >&3) 3>> "$0" > "$0"')).to.include({ stdout: '', stderr: '' })
    expect(readFileSync(path, 'utf8')).to.equal('text and more\n')
  })

  it('writes through a link that leads to nothing yet', () => {
    const target = join(folder.path, 'dangling', 'target.html')
    folder.write('dangling/other', '')
    const link = join(folder.path, 'dangling', 'link.html')
    symlinkSync('target.html', link)
    checkWritable(link)
    expect(existsSync(target)).to.equal(false)
    writeWhole(link, 'text')
    expect(readFileSync(target, 'utf8')).to.equal('text')
    expect(lstatSync(link).isSymbolicLink()).to.equal(true)
  })

  it('leaves to the file who may read it', function () {
    if (process.platform === 'win32') return this.skip()
    const path = folder.write('mode/a.html', 'old')
    for (const mode of [0o600, 0o666]) {
      chmodSync(path, mode)
      writeWhole(path, 'new')
      expect(statSync(path).mode & 0o777).to.equal(mode)
    }
  })

  it('writes a file that cannot be replaced as it is', () => {
    const path = folder.write(`stuck/${'a'.repeat(250)}`, 'old')
    checkWritable(path)
    writeWhole(path, 'new')
    expect(readFileSync(path, 'utf8')).to.equal('new')
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
