import { expect } from 'chai'
import { Calendars } from './calendars.ts'
import { random } from './random.ts'

const at = (text: string) => Date.parse(text)

describe('Calendars', () => {
  it('hold a span from its first moment to the one before its end', () => {
    const calendars = new Calendars({
      calendars: [{ name: 'sale', spans: [{ from: '2026-11-27T00:00:00+01:00', to: '2026-11-28T00:00:00Z' }] }],
    })
    const times = [
      '2026-11-26T22:59:59.999Z',
      '2026-11-26T23:00:00Z',
      '2026-11-27T23:59:59.999Z',
      '2026-11-28T00:00:00Z',
    ]
    expect(times.map((time) => calendars.hold(at(time)))).to.deep.equal([false, true, true, false])
    expect(calendars.hold(Number.NaN)).to.equal(false)
  })

  it('hold a time of the day, on some days, in a zone and through its changes of the clock', () => {
    const calendars = new Calendars({
      calendars: [
        {
          name: 'batch',
          timeZone: 'Europe/Berlin',
          weekly: [{ days: ['Monday', 'Friday'], from: '02:00', to: '02:45' }],
        },
      ],
    })
    // In winter an hour before UTC, in summer two. 5 January 2026 is a Monday.
    expect(calendars.hold(at('2026-01-05T01:00:00Z'))).to.equal(true)
    expect(calendars.hold(at('2026-01-05T01:45:00Z'))).to.equal(false)
    expect(calendars.hold(at('2026-01-05T00:59:59Z'))).to.equal(false)
    expect(calendars.hold(at('2026-01-06T01:30:00Z'))).to.equal(false)
    expect(calendars.hold(at('2026-07-06T00:00:00Z'))).to.equal(true)
    expect(calendars.hold(at('2026-07-06T01:00:00Z'))).to.equal(false)
  })

  it('count a span over midnight as one of the day on which it begins', () => {
    const night = new Calendars({
      calendars: [{ name: 'night', weekly: [{ days: ['Saturday'], from: '22:00', to: '06:00' }] }],
    })
    // 3 January 2026 is a Saturday.
    const times = [
      '2026-01-03T21:59:00Z',
      '2026-01-03T22:00:00Z',
      '2026-01-04T05:59:00Z',
      '2026-01-04T06:00:00Z',
      '2026-01-04T23:00:00Z',
      '2026-01-03T03:00:00Z',
    ]
    expect(times.map((time) => night.hold(at(time)))).to.deep.equal([false, true, true, false, false, false])
    const day = new Calendars({
      calendars: [{ name: 'day', weekly: [{ days: ['Saturday'], from: '00:00', to: '00:00' }] }],
    })
    expect(
      ['2026-01-03T00:00:00Z', '2026-01-03T23:59:59Z', '2026-01-04T00:00:00Z'].map((time) => day.hold(at(time))),
    ).to.deep.equal([true, true, false])
  })

  it('agree with what clocks of the zone show, at any time before or after 1970', () => {
    const { int } = random('calendars')
    const zones = ['America/St_Johns', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'Pacific/Kiritimati', 'UTC']
    for (const timeZone of zones) {
      const calendars = new Calendars({
        calendars: [
          { name: 'some', timeZone, weekly: [{ days: ['Sunday', 'Wednesday'], from: '09:30', to: '17:10' }] },
        ],
      })
      const clock = new Intl.DateTimeFormat('en-GB', { timeZone, weekday: 'long', hour: '2-digit', minute: '2-digit' })
      for (let n = 0; n < 300; n++) {
        const time = Date.UTC(1980) + int(2 ** 31) * 1000
        const shown = Object.fromEntries(clock.formatToParts(time).map(({ type, value }) => [type, value]))
        const isIn =
          (shown.weekday === 'Sunday' || shown.weekday === 'Wednesday') &&
          `${shown.hour}:${shown.minute}` >= '09:30' &&
          `${shown.hour}:${shown.minute}` < '17:10'
        expect(calendars.hold(time), `${timeZone} ${new Date(time).toISOString()}`).to.equal(isIn)
      }
    }
    const early = new Calendars({
      calendars: [{ name: 'early', weekly: [{ days: ['Wednesday'], from: '00:00', to: '12:00' }] }],
    })
    expect([-dayMs, -dayMs / 2, -1].map((time) => early.hold(time))).to.deep.equal([true, false, false])
  })
})

const dayMs = 86_400_000
