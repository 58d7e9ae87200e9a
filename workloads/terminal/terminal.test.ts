import { Writable } from 'node:stream'
import { expect } from 'chai'
import { createLiveLine, lookOf } from './terminal.ts'

/** What of a terminal or a pipe these functions use. */
function output(terminal: { columns?: number; colours?: boolean } | undefined) {
  let written = ''
  const stream = Object.assign(
    new Writable({
      write(chunk, _, done) {
        written += chunk
        done()
      },
    }),
    terminal === undefined ? {} : { isTTY: true, columns: terminal.columns, hasColors: () => terminal.colours ?? true },
  ) as unknown as NodeJS.WriteStream
  return { stream, written: () => written }
}

describe('lookOf()', () => {
  it('is as wide as the terminal is at the moment, 80 where it does not say', () => {
    const { stream } = output({ columns: 120 })
    const look = lookOf(stream)
    expect([look.columns, look.colour]).to.deep.equal([120, true])
    stream.columns = 60
    expect(look.columns).to.equal(60)
    for (const columns of [undefined, 0])
      expect(lookOf(output(columns === undefined ? {} : { columns }).stream).columns).to.equal(80)
  })

  it('is plain and without bounds in a file or pipe', () => {
    const look = lookOf(output(undefined).stream)
    expect([look.columns, look.colour]).to.deep.equal([Number.POSITIVE_INFINITY, false])
  })

  it('is plain where the terminal has no colours', () => {
    expect(lookOf(output({ colours: false }).stream).colour).to.equal(false)
  })
})

describe('createLiveLine()', () => {
  it('overwrites itself in place, only when it changed, and leaves nothing behind', () => {
    const { stream, written } = output({})
    const live = createLiveLine(stream)
    for (const line of ['1 event', '1 event', '2 events']) live.show(line)
    live.clear()
    live.clear()
    const erase = '\r\u001b[2K'
    expect(written()).to.equal(`${erase}1 event${erase}2 events${erase}`)
    live.show('2 events')
    expect(written().endsWith('2 events')).to.equal(true)
  })

  it('is not shown on anything but a terminal', () => {
    const { stream, written } = output(undefined)
    const live = createLiveLine(stream)
    live.show('1 event')
    live.clear()
    expect([live.isShown, written()]).to.deep.equal([false, ''])
  })
})
