import { expect } from 'chai'
import { random } from '../detection/random.ts'
import { timeOf } from './event-time.ts'

const moment = Date.UTC(2021, 11, 20, 11, 33, 20)

describe('timeOf()', () => {
  const readable: readonly (readonly [raw: unknown, time: number])[] = [
    [1640000000, moment],
    [1640000000.25, moment + 250],
    [1640000000123, moment + 123],
    [1640000000123456, moment + 123],
    [1640000000123456800, moment + 123],
    [1640000000n, moment],
    [0, 0],
    [31, 31_000],
    ['1640000000', moment],
    [' 1640000000 ', moment],
    ['1640000000.0', moment],
    ['1.64E+09', moment],
    ['1640000000000', moment],
    ['1640000000000000000', moment],
    ['2021-12-20T11:33:20Z', moment],
    ['2021-12-20t11:33:20z', moment],
    ['2021-12-20T12:33:20.500+01:00', moment + 500],
    ['2021-12-20T12:33:20+01', moment],
    ['2021-12-20T12:33:20+01:00[Europe/Paris]', moment],
    ['2021-12-20T06:03:20-0530', moment],
    ['2021-12-20 11:33:20', moment],
    [' 2021-12-20 11:33:20\t', moment],
    ['2021-12-20 11:33:20 UTC', moment],
    ['2021-12-20 11:33:20 +0000', moment],
    ['2021-12-20 11:33:20,123', moment + 123],
    ['2021-12-20T11:33:20.123456789Z', moment + 123],
    ['2021-12-20T11:33:20.5Z', moment + 500],
    ['2021/12/20 11:33:20', moment],
    ['2021-12-20 11:33', moment - 20_000],
    ['2021-12-20', Date.UTC(2021, 11, 20)],
    ['20211220T113320Z', moment],
    ['20211220T113320,5+0100', moment - 3_600_000 + 500],
    [20240101, Date.UTC(2024, 0, 1)],
    ['20240101', Date.UTC(2024, 0, 1)],
    ['20211220113320', moment],
    [20249999, 20249999000],
    ['2016-12-31T23:59:60Z', Date.UTC(2017, 0, 1)],
    ['2016-12-31T24:00:00Z', Date.UTC(2017, 0, 1)],
    ['2024-02-29', Date.UTC(2024, 1, 29)],
    ['2000-02-29', Date.UTC(2000, 1, 29)],
    ['1969-12-31', -86_400_000],
  ]
  for (const [raw, time] of readable)
    it(`reads ${typeof raw === 'bigint' ? `${raw}n` : JSON.stringify(raw)}`, () => {
      expect(timeOf(raw)).to.equal(time)
    })

  const unreadable: readonly unknown[] = [
    ...['yesterday', '', ' ', '20.12.2021', '12/20/2021', '2021-12', '2021-12/20', '-1', '1e999', 'NaN', '0x10'],
    ...['2021-13-01', '2021-00-10', '2021-01-00', '2021-04-31', '2023-02-29', '1900-02-29', '2021-06-31T00:00:00Z'],
    ...['2021-12-20T24:00:01Z', '2021-12-20T25:00:00Z', '2021-12-20T11:60:00Z', '2021-12-20T11:33:61Z'],
    ...['2021-12-20T11:33:20+24:00', '2021-12-20T11:33:20+01:60', '2021-12-20T11:33:20 CET', '0001-01-01'],
    ...[-1, Number.NaN, Number.POSITIVE_INFINITY, true, null, undefined, {}, []],
  ]
  for (const raw of unreadable)
    it(`refuses ${JSON.stringify(raw) ?? String(raw)}`, () => {
      expect(timeOf(raw)).to.be.NaN
    })

  it('reads every moment from 1973 to 2100 alike, however it is written', () => {
    const { next } = random('times')
    for (let i = 0; i < 5000; i++) {
      const time = Date.UTC(1974, 0, 1) + Math.floor(next() * (Date.UTC(2099, 0, 1) - Date.UTC(1974, 0, 1)))
      const iso = new Date(time).toISOString()
      const basic = iso.replaceAll(/[-:]/g, '')
      const ways = [time, time / 1000, time * 1000, time * 1e6, String(time), `${time}000`, `${time}000000`]
      const written = [
        iso,
        iso.replace('.', ','),
        iso.replace('T', ' ').replace('Z', ' UTC'),
        iso.replace('Z', '+00'),
        basic,
      ]
      for (const way of [...ways, ...written]) expect(timeOf(way), String(way)).to.equal(time)
    }
  })

  it('knows the days that the calendar has, and no other', () => {
    for (let year = 1896; year <= 2104; year++)
      for (let month = 1; month <= 12; month++)
        for (let day = 28; day <= 32; day++) {
          const text = `${year}-${String(month).padStart(2, '0')}-${day}`
          const date = new Date(Date.UTC(year, month - 1, day))
          expect(Number.isNaN(timeOf(text)), text).to.equal(date.getUTCMonth() !== month - 1)
        }
  })
})
