import { random } from '../../workloads/detection/random.ts'

/** An event in the shape that REST and the sample pipelines have, about 380 bytes, with 8 features. */
export interface Payment {
  readonly eventId: string
  readonly timestamp: number
  readonly userId: string
  readonly value: number
  readonly currency: string
  readonly merchant: string
  readonly features: Readonly<Record<string, number>>
}

const keys = 10_000
const chance = random('bench')
const amountOf = Float64Array.from({ length: keys }, () => 10 + 200 * chance.next())
const digits = (x: number): number => Math.round(x * 1e6) / 1e6

/** One of 10,000 users pays about what this user usually pays. */
export function payment(number: number, timestamp: number): Payment {
  const user = Math.floor(chance.next() * keys)
  return {
    eventId: `payment-${String(number).padStart(9, '0')}`,
    timestamp,
    userId: `user-${String(user).padStart(6, '0')}`,
    value: Math.round(100 * amountOf[user]! * (0.5 + chance.next())) / 100,
    currency: 'EUR',
    merchant: `merchant-${String(number % 1000).padStart(8, '0')}`,
    features: {
      distanceFromHomeKm: digits(40 * chance.next() ** 3),
      merchantRiskScore: digits(chance.next()),
      hourOfDayLocal: digits(24 * chance.next()),
      cardPresent: chance.next() < 0.7 ? 1 : 0,
      minutesSinceLogin: digits(600 * chance.next()),
      accountAgeInDays: digits(3000 * chance.next()),
      basketItemCount: Math.floor(20 * chance.next()),
      currencyMismatch: chance.next() < 0.02 ? 1 : 0,
    },
  }
}
