import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { AppError } from '../../lib/errors.ts'
import { checkOutputs } from './check-outputs.ts'
import { inputFiles } from './input-files.ts'
import { temporaryFolder } from './temporary-folder.ts'

describe('checkOutputs()', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())
  const input = folder.write('events.jsonl', '{}\n')
  const other = folder.write('old-verdicts.jsonl', '{}\n')
  const fresh = join(folder.path, 'fresh.jsonl')

  it('lets files be that are apart', () => {
    checkOutputs({ output: fresh, rejects: other, report: undefined }, inputFiles([input]))
    checkOutputs({ output: '-', rejects: fresh }, inputFiles(['-']))
    checkOutputs({ output: '/dev/null', rejects: '/dev/null' })
  })

  it('refuses to overwrite an input, under whatever name', () => {
    const link = join(folder.path, 'link.jsonl')
    symlinkSync(input, link)
    for (const path of [input, link, join(folder.path, '.', 'x', '..', 'events.jsonl')])
      expect(() => checkOutputs({ output: path }, inputFiles([other, input])))
        .to.throw(AppError, `--output ${path}: is an input too`)
        .with.property('code', 'InvalidArgument')
  })

  it('refuses two outputs in one place', () => {
    for (const path of [fresh, other, '-'])
      expect(() => checkOutputs({ output: path, rejects: path })).to.throw(
        AppError,
        `--rejects ${path}: is the file of --output too`,
      )
  })
})
