import { expect } from 'chai'
import { timeOf } from '../../workloads/wire/event-time.ts'
import type { Fuzz } from './fuzz.ts'

const first = Date.UTC(1974, 0, 1)
const last = Date.UTC(2099, 11, 31)

/** A moment is the same however it is written; other text is no time, or one of the years that it names. */
export const fuzz: Fuzz = {
  name: 'times',
  tryOne(chance) {
    const time = first + chance.int(last - first)
    const iso = new Date(time).toISOString()
    const [date, clock] = [iso.slice(0, 10), iso.slice(11, 23)]
    const offset = (chance.int(48 * 60 - 1) - 24 * 60 + 1) * 60_000
    const sign = offset < 0 ? '-' : '+'
    const minutes = Math.abs(offset) / 60_000
    const two = (n: number) => String(n).padStart(2, '0')
    const zone = `${sign}${two(Math.floor(minutes / 60))}${chance.pick(':', '')}${two(minutes % 60)}`
    const local = new Date(time + offset).toISOString().slice(0, 23)
    const written = [
      `${date}${chance.pick('T', ' ', 't', '  ')}${clock.replace('.', chance.pick('.', ','))}${chance.pick('', 'Z', 'z', ' UTC', '+00', ' +00:00', 'GMT')}`,
      `${local}${chance.pick('', ' ')}${zone}`,
      `${iso.replaceAll(/[-:]/g, '')}`,
      `${date.replaceAll('-', '/')} ${clock}${chance.text(chance.int(6), '0123456789')}`,
      `${chance.pick('', ' ')}${time}${chance.pick('', '000', '000000', '.0')}`,
    ]
    for (const text of written) expect(timeOf(text), text).to.equal(time)
    for (const number of [time, time / 1000, time * 1000, time * 1e6])
      expect(timeOf(number), String(number)).to.equal(time)

    const strange = String(chance.damaged(Buffer.from(chance.pick(...written))))
    const read = timeOf(strange)
    if (!Number.isNaN(read)) expect(Number.isFinite(read), strange).to.equal(true)
    const [, year] = /^(\d{4})-\d{2}-\d{2}/.exec(strange) ?? []
    if (year !== undefined && !Number.isNaN(read) && Number(year) > 100)
      expect(Math.abs(new Date(read).getUTCFullYear() - Number(year)), strange).to.be.below(2)
  },
}
