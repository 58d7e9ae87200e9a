import { expect } from 'chai'
import { AppError } from './errors.ts'
import { createLogger, type LoggerOptions } from './log.ts'

async function logged(options: LoggerOptions, write: (log: Awaited<ReturnType<typeof createLogger>>) => void) {
  const lines: string[] = []
  write(await createLogger({ destination: { write: (line) => void lines.push(line) }, ...options }))
  return lines
}

describe('createLogger', () => {
  it('writes one JSON line with level, time, fields and message', async () => {
    const lines = await logged({ pretty: false }, (log) => log.info({ keys: 3 }, 'learnt'))
    expect(lines).to.have.length(1)
    const { time, ...rest } = JSON.parse(lines[0]!)
    expect(rest).to.deep.equal({ level: 'info', keys: 3, msg: 'learnt' })
    expect(new Date(time).toISOString()).to.equal(time)
    expect(lines[0]).to.match(/\n$/)
  })

  it('writes an error with its message, code and cause', async () => {
    const error = new AppError('Unavailable', 'Cannot reach Redis', { cause: new Error('refused') })
    const lines = await logged({ pretty: false }, (log) => log.error({ error }, 'flush failed'))
    expect(JSON.parse(lines[0]!).error).to.include({ code: 'Unavailable', message: 'Cannot reach Redis: refused' })
  })

  it('leaves out what is below its level', async () => {
    const lines = await logged({ pretty: false, level: 'warn' }, (log) => {
      log.debug({}, 'a')
      log.info({}, 'b')
      log.warn({}, 'c')
    })
    expect(lines.map((line) => JSON.parse(line).msg)).to.deep.equal(['c'])
  })

  it('writes for people when pretty, before the call returns', async () => {
    const lines = await logged({ pretty: true }, (log) => log.warn({ keys: 3 }, 'learnt'))
    expect(lines.join(''))
      .to.match(/WARN.*learnt/)
      .and.to.match(/keys.*3/)
  })
})
