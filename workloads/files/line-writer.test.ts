import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { LineWriter } from './line-writer.ts'
import { temporaryFolder } from './temporary-folder.ts'

describe('LineWriter', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())

  it('replaces the file, and writes each line with its end', () => {
    const path = folder.write('a.jsonl', 'what was there before, and is longer')
    const writer = new LineWriter(path)
    for (const line of ['one', '', 'drei Zöglinge 🎉']) writer.write(line)
    writer.close()
    expect(readFileSync(path, 'utf8')).to.equal('one\n\ndrei Zöglinge 🎉\n')
  })

  it('writes in blocks, when it is told to, and at the end', () => {
    const path = join(folder.path, 'b.jsonl')
    const writer = new LineWriter(path)
    const line = 'x'.repeat(999)
    for (let i = 0; i < 200; i++) writer.write(line)
    expect(statSync(path).size).to.equal(0)
    for (let i = 0; i < 100; i++) writer.write(line)
    expect(statSync(path).size).to.be.within(256 * 1024, 300_000)
    writer.flush()
    expect(statSync(path).size).to.equal(300_000)
    writer.write('last')
    writer.close()
    expect(statSync(path).size).to.equal(300_005)
  })

  it('takes a line that is longer than a block, behind others', () => {
    const path = join(folder.path, 'long.jsonl')
    const writer = new LineWriter(path)
    const lines = ['short', 'ж'.repeat(400_000), 'x'.repeat(2_000_000), 'short again']
    for (const line of lines) writer.write(line)
    writer.close()
    expect(readFileSync(path, 'utf8')).to.equal(`${lines.join('\n')}\n`)
  })

  it('says which file cannot be opened', () => {
    const path = join(folder.path, 'missing', 'a.jsonl')
    expect(() => new LineWriter(path))
      .to.throw(AppError, `${path}: cannot be written: there is no such folder`)
      .with.property('code', 'OutputFailed')
    expect(() => new LineWriter(folder.path)).to.throw(AppError, `${folder.path}: cannot be written: it is a folder`)
  })

  it('says that a device is full', function () {
    if (!existsSync('/dev/full')) return this.skip()
    const writer = new LineWriter('/dev/full')
    writer.write('one')
    expect(() => writer.flush())
      .to.throw(AppError, '/dev/full: cannot be written: no space left; it has the first 0 lines whole')
      .with.property('code', 'OutputFailed')
    writer.close()
  })

  it('leaves whole lines behind where there is room for a part only, and can go on behind them', function () {
    if (process.platform === 'win32') return this.skip()
    const path = join(folder.path, 'limited.jsonl')
    const program = `
      import { LineWriter } from ${JSON.stringify(new URL('./line-writer.ts', import.meta.url).href)}
      const writer = new LineWriter(${JSON.stringify(path)})
      writer.write('first')
      writer.flush()
      for (let i = 0; i < 1000; i++) writer.write('0123456789'.repeat(9))
      try { writer.flush() } catch (error) { console.log(error.message) }
      writer.write('end')
      writer.close()`
    // The limit, 3 or 6 times 512 bytes, is reached in the middle of a line.
    const args = [process.execPath, '--input-type=module', '--disable-warning=ExperimentalWarning', '-e', program]
    const child = spawnSync('sh', ['-c', 'ulimit -f 3 && exec "$@"', 'sh', ...args], { encoding: 'utf8' })
    expect(child.stderr).to.equal('')
    const lines = readFileSync(path, 'utf8').split('\n')
    const whole = lines.length - 3
    expect(whole).to.be.oneOf([16, 33])
    expect(lines).to.deep.equal(['first', ...new Array(whole).fill('0123456789'.repeat(9)), 'end', ''])
    expect(child.stdout).to.match(new RegExp(`cannot be written: .*; it has the first ${whole + 1} lines whole\n$`))
  })
})
