import { expect } from 'chai'
import { anomalyKinds, type SimulatedPayment, simulatePayments } from './simulate-payments.ts'

const startTime = Date.UTC(2024, 0, 1)

function draw(count: number, options: { seed?: number; users?: number } = {}): SimulatedPayment[] {
  const payments: SimulatedPayment[] = []
  for (const payment of simulatePayments({ seed: 1, startTime, ...options }))
    if (payments.push(payment) === count) break
  return payments
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): T[][] {
  return [...Map.groupBy(items, keyOf).values()]
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!
}

const day = 86_400_000

describe('simulatePayments()', () => {
  let payments: SimulatedPayment[]
  let ordinary: SimulatedPayment[]
  before(() => {
    payments = draw(200_000)
    ordinary = payments.filter(({ injected }) => injected === '')
  })

  const episodesOf = (kind: string) =>
    groupBy(
      payments.filter(({ injected }) => injected === kind),
      ({ episode }) => episode,
    )

  it('gives the same stream for the same seed, another one for another', () => {
    expect(draw(5000, { seed: 5 })).to.deep.equal(draw(5000, { seed: 5 }))
    expect(draw(10, { seed: 5 })).to.not.deep.equal(draw(10, { seed: 6 }))
  })

  it('comes in order of time, each payment with an id of its own', () => {
    const times = payments.map(({ event }) => event.timestamp)
    expect(times.every((time, i) => Number.isInteger(time) && time >= (times[i - 1] ?? startTime))).to.equal(true)
    expect(new Set(payments.map(({ event }) => event.eventId)).size).to.equal(payments.length)
  })

  it('lets every card holder pay several times a day, and hardly at night', () => {
    const days = (payments.at(-1)!.event.timestamp - startTime) / day
    const perDay = groupBy(ordinary, ({ event }) => event.userId).map((own) => own.length / days)
    expect(perDay).to.have.lengthOf(2000)
    expect(median(perDay)).to.be.within(4, 9)
    const atNight = ordinary.filter(({ event }) => event.features.hourOfDay! < 5)
    expect(atNight.length / ordinary.length).to.be.within(0.001, 0.05)
  })

  it('gives every card holder own habits', () => {
    const own = groupBy(ordinary, ({ event }) => event.userId).map((group) =>
      group.map(({ event }) => Math.log(event.value)),
    )
    const spread = (numbers: readonly number[]) => {
      const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length
      return Math.sqrt(numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length)
    }
    const within = median(own.map(spread))
    const between = spread(own.map(median))
    expect(between).to.be.above(within)
  })

  it('makes 0.3 to 0.5 % of the payments anomalous, in episodes of every kind', () => {
    const share = 1 - ordinary.length / payments.length
    expect(share).to.be.within(0.003, 0.005)
    for (const kind of anomalyKinds) expect(episodesOf(kind).length, kind).to.be.above(15)
    expect(ordinary.every(({ episode }) => episode === 0)).to.equal(true)
  })

  it('strikes nobody before there is a history', () => {
    const seen = new Map<string, number>()
    for (const { event, injected } of payments) {
      const before = seen.get(event.userId) ?? 0
      if (injected !== '' && injected !== 'compromised-terminal') expect(before, event.userId).to.be.at.least(8)
      seen.set(event.userId, before + 1)
    }
  })

  it('makes an amount spike many times what the card holder pays', () => {
    const usual = new Map(
      [...Map.groupBy(ordinary, ({ event }) => event.userId)].map(([user, own]) => [
        user,
        median(own.map(({ event }) => event.value)),
      ]),
    )
    const times = episodesOf('amount-spike')
      .flat()
      .map(({ event }) => event.value / usual.get(event.userId)!)
    expect(median(times)).to.be.within(12, 40)
  })

  it('makes a stolen card pay often and far from home', () => {
    for (const episode of episodesOf('stolen-card-burst').slice(0, -1)) {
      const events = episode.map(({ event }) => event)
      expect(new Set(events.map(({ userId }) => userId)).size).to.equal(1)
      expect(events.length).to.be.within(5, 10)
      expect(events.at(-1)!.timestamp - events[0]!.timestamp).to.be.below(10 * 75_000)
      for (const { features } of events) expect(features.distanceKm).to.be.at.least(2000)
    }
  })

  it('makes a compromised terminal strike several card holders', () => {
    const holders = episodesOf('compromised-terminal').map(
      (episode) => new Set(episode.map(({ event }) => event.userId)).size,
    )
    expect(median(holders)).to.be.above(4)
  })

  it('lets amounts creep up before a drift counts as one', () => {
    const [drift] = episodesOf('slow-drift')
    const { userId, eventId } = drift![0]!.event
    const own = payments.filter(({ event }) => event.userId === userId).map(({ event }) => event)
    const start = own.findIndex((event) => event.eventId === eventId)
    const amounts = own.map(({ value }) => value)
    const usual = median(amounts.slice(0, start - 12))
    const halfway = median(amounts.slice(start - 7, start))
    expect(halfway / usual).to.be.within(1.3, 7)
    expect(median(drift!.map(({ event }) => event.value)) / usual).to.be.within(4, 16)
  })

  it('leaves out features that the card holder always has', () => {
    for (const { event } of episodesOf('missing-features').flat())
      expect(event.features).to.not.have.any.keys('distanceKm', 'merchantRisk', 'terminalVelocity')
    for (const { event } of ordinary.slice(0, 1000))
      expect(event.features).to.include.keys('distanceKm', 'merchantRisk')
  })

  it('carries finite numbers only, as JSON does', () => {
    for (const { event } of payments.slice(0, 20_000)) expect(JSON.parse(JSON.stringify(event))).to.deep.equal(event)
  })

  it('works for a single card holder, and refuses none', () => {
    expect(draw(500, { users: 1 })).to.have.lengthOf(500)
    expect(() => draw(1, { users: 0 })).to.throw(RangeError, 'users')
  })
})
