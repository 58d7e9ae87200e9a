import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { expect } from 'chai'
import { AppError, messageOf } from './errors.ts'
import { createLogger, type LoggerOptions } from './log.ts'

async function logged(options: LoggerOptions, write: (log: Awaited<ReturnType<typeof createLogger>>) => void) {
  const lines: string[] = []
  write(await createLogger({ destination: { write: (line) => void lines.push(line) }, ...options }))
  return lines
}

/** What a client is told by addresses of this machine where nobody listens. */
async function refusal(addresses: readonly string[]): Promise<Error> {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  const [error] = await once(connect({ host: 'x', port, lookup: (_, __, done) => done(null, found) }), 'error')
  return error as Error
}

describe('createLogger', () => {
  it('writes one JSON line with level, time, fields and message', async () => {
    const lines = await logged({ format: 'json' }, (log) => log.info({ keys: 3 }, 'learnt'))
    expect(lines).to.have.length(1)
    const { time, ...rest } = JSON.parse(lines[0]!)
    expect(rest).to.deep.equal({ level: 'info', keys: 3, msg: 'learnt' })
    expect(new Date(time).toISOString()).to.equal(time)
    expect(lines[0]).to.match(/\n$/)
  })

  it('writes an error with its message, code and cause', async () => {
    const error = new AppError('Unavailable', 'Cannot reach Redis', { cause: new Error('refused') })
    const lines = await logged({ format: 'json' }, (log) => log.error({ error }, 'flush failed'))
    expect(JSON.parse(lines[0]!).error).to.include({ code: 'Unavailable', message: 'Cannot reach Redis: refused' })
  })

  it('writes an outage, which is expected, in a line: code and message, each cause once, no stack', async () => {
    const refused = await refusal(['127.0.0.1'])
    const several = await refusal(['127.0.0.1', '127.0.0.2'])
    const away = new AppError('Unavailable', `Cannot list topics: ${refused.message}`, { cause: refused })
    const wrapped = new TypeError('fetch failed', { cause: refused })
    const text = refused.message
    expect(text).to.match(/^connect ECONNREFUSED 127\.0\.0\.1:\d+$/)
    expect(messageOf(several)).to.match(
      /^connect ECONNREFUSED 127\.0\.0\.1:\d+, connect ECONNREFUSED 127\.0\.0\.2:\d+$/,
    )
    const table: readonly (readonly [error: Error, written: object])[] = [
      [refused, { code: 'ECONNREFUSED', message: text }],
      [several, { code: 'ECONNREFUSED', message: messageOf(several) }],
      [away, { code: 'Unavailable', message: `Cannot list topics: ${text}` }],
      [wrapped, { code: 'ECONNREFUSED', message: `fetch failed: ${text}` }],
      [new AppError('DeadlineExceeded', 'Too late'), { code: 'DeadlineExceeded', message: 'Too late' }],
    ]
    for (const [error, written] of table) {
      const [line] = await logged({ format: 'json' }, (log) => log.warn({ error }, 'away'))
      expect(JSON.parse(line!).error).to.deep.equal(written)
      const pretty = await logged({ format: 'text' }, (log) => log.warn({ error }, 'away'))
      expect(pretty.join('').trimEnd().split('\n')).to.have.length(2)
    }
  })

  it('writes the stack of what nobody expects, and those of its causes', async () => {
    const refused = await refusal(['127.0.0.1'])
    for (const error of [
      new TypeError('x is undefined'),
      new AppError('Internal', 'Cannot fit', { cause: new RangeError('too deep') }),
      new AppError('Unavailable', 'Cannot go on', { cause: refused, retriable: false }),
    ])
      for (const format of ['text', 'json'] as const) {
        const lines = await logged({ format }, (log) => log.warn({ error }, 'failed'))
        expect(lines.join('')).to.include('log.test.ts').and.include(error.message)
      }
  })

  it('leaves out what is below its level', async () => {
    const lines = await logged({ format: 'json', level: 'warn' }, (log) => {
      log.debug({}, 'a')
      log.info({}, 'b')
      log.warn({}, 'c')
    })
    expect(lines.map((line) => JSON.parse(line).msg)).to.deep.equal(['c'])
  })

  it('writes for people when pretty, before the call returns', async () => {
    const lines = await logged({ format: 'text' }, (log) => log.warn({ keys: 3 }, 'learnt'))
    expect(lines.join(''))
      .to.match(/WARN.*learnt/)
      .and.to.match(/keys.*3/)
  })
})
