import { type Random, random } from '../detection/random.ts'

export const anomalyKinds = [
  'amount-spike',
  'stolen-card-burst',
  'compromised-terminal',
  'slow-drift',
  'missing-features',
] as const
export type AnomalyKind = (typeof anomalyKinds)[number]

/** One card payment, in the shape that a pipeline reads by default. */
export interface PaymentEvent {
  readonly eventId: string
  /** Simulated time, milliseconds since 1970. */
  readonly timestamp: number
  readonly userId: string
  /** The amount. */
  readonly value: number
  readonly features: Readonly<Record<string, number>>
}

export interface SimulatedPayment {
  readonly event: PaymentEvent
  /** The truth, which no detector sees; '' for an ordinary payment. */
  readonly injected: AnomalyKind | ''
  /** Payments of one episode share its number, counted from 1; 0 for an ordinary payment. */
  readonly episode: number
}

export interface SimulationOptions {
  readonly seed: number
  /** Card holders. */
  readonly users?: number
  /** When the simulated clock starts, milliseconds since 1970. */
  readonly startTime: number
}

/** The payments of `run --simulate` and `replay --simulate`: a week like any other, years ago, since simulated time runs ahead. */
export const sampleStream = { users: 500, startTime: Date.UTC(2020, 0, 6) } as const

interface Episode {
  readonly number: number
  readonly kind: AnomalyKind
  /** Of how many payments it consists, and how many of them are over. */
  readonly length: number
  step: number
}

interface Terminal {
  readonly risk: number
  /** Payments in about the last hour: each counts 1 and fades with a time constant of one hour. */
  velocity: number
  lastTime: number
  episode: Episode | undefined
}

interface CardHolder {
  readonly id: string
  readonly logAmount: number
  readonly logAmountSpread: number
  /** Payments per millisecond in the busiest hour of the day. */
  readonly peakRate: number
  readonly busiestHour: number
  readonly logDistance: number
  readonly terminals: readonly Terminal[]
  readonly onlineShare: number
  readonly abroadShare: number
  readonly pricePerItem: number
  /** Some shops' tills never send a number of items. */
  readonly countsItems: boolean
  payments: number
  lastTime: number
  nextTime: number
  episode: Episode | undefined
}

const hour = 3_600_000
const day = 24 * hour

/** Nobody is struck before this many payments: an anomaly needs a history to stand out from. */
const historyBeforeEpisodes = 8
/** Payments over which a slow drift creeps up to its plateau; ordinary ones still, each close to the one before. */
const creepLength = 12
/** Amounts on the plateau of a drift, in the card holder's ordinary amounts. */
const driftFactor = 8

/** A kind's share among the episodes that begin, and how many anomalous payments one has. */
const episodePlan: Record<
  AnomalyKind,
  { readonly share: number; readonly shortest: number; readonly longest: number }
> = {
  'amount-spike': { share: 0.45, shortest: 1, longest: 1 },
  'stolen-card-burst': { share: 0.15, shortest: 5, longest: 10 },
  'compromised-terminal': { share: 0.12, shortest: 6, longest: 12 },
  'slow-drift': { share: 0.12, shortest: 4, longest: 8 },
  'missing-features': { share: 0.16, shortest: 1, longest: 3 },
}
/** Chance of a payment to begin an episode; an episode has 3.7 anomalous payments in the mean. */
const episodeRate = 0.0013

/**
 * A stream of card payments that never ends, in order of time. Every card holder has own habits: amounts, rhythm of the
 * day, distance from home, shops, time between payments. About 0.4 % of the payments are anomalies, in episodes of five
 * kinds. The same seed gives the same stream.
 */
export function* simulatePayments(options: SimulationOptions): Generator<SimulatedPayment, never, void> {
  const { seed, users = 2000, startTime } = options
  if (!Number.isInteger(users) || users < 1) throw new RangeError(`users: ${users} must be a whole number above 0`)
  const chance = random(seed)
  const terminals = Array.from({ length: Math.max(8, Math.ceil(users / 8)) }, () => newTerminal(chance, startTime))
  const holders = Array.from({ length: users }, (_, user) => newCardHolder(chance, user, terminals, startTime))
  const queue = holders.sort((one, other) => one.nextTime - other.nextTime)
  let payments = 0
  let episodes = 0

  for (;;) {
    const holder = queue[0]!
    const time = Math.round(holder.nextTime)
    const terminal = holder.terminals[chance.int(holder.terminals.length)]!
    terminal.velocity = terminal.velocity * Math.exp((terminal.lastTime - time) / hour) + 1
    terminal.lastTime = time

    if (
      !holder.episode &&
      !terminal.episode &&
      holder.payments >= historyBeforeEpisodes &&
      chance.next() < episodeRate
    ) {
      const episode = newEpisode(chance, ++episodes)
      if (episode.kind === 'compromised-terminal') terminal.episode = episode
      else holder.episode = episode
    }

    const payment = ordinaryPayment(chance, holder, terminal, time)
    const episode = holder.episode ?? terminal.episode
    const anomalous = episode !== undefined && distort(payment, episode, chance)
    yield {
      event: {
        eventId: `payment-${++payments}`,
        timestamp: time,
        userId: holder.id,
        value: round(payment.amount, 100),
        features: payment.features,
      },
      injected: anomalous ? episode.kind : '',
      episode: anomalous ? episode.number : 0,
    }

    holder.payments++
    holder.lastTime = time
    if (episode && ++episode.step === episode.length) {
      if (holder.episode) holder.episode = undefined
      else terminal.episode = undefined
    }
    holder.nextTime =
      holder.episode?.kind === 'stolen-card-burst'
        ? time + 15_000 + 60_000 * chance.next()
        : nextOrdinaryTime(chance, holder, time)
    sink(queue)
  }
}

interface Payment {
  amount: number
  features: Record<string, number>
}

function ordinaryPayment(chance: Random, holder: CardHolder, terminal: Terminal, time: number): Payment {
  const amount = Math.exp(holder.logAmount + holder.logAmountSpread * normal(chance))
  const online = chance.next() < holder.onlineShare
  const abroad = chance.next() < holder.abroadShare
  const distance = Math.exp(holder.logDistance + 0.6 * normal(chance)) * (abroad ? 150 : 1)
  const features: Record<string, number> = {
    distanceKm: online ? 0 : round(distance, 10),
    merchantRisk: round(Math.min(1, Math.max(0, terminal.risk + 0.02 * normal(chance))), 1000),
    secondsSinceLast: Math.round((time - holder.lastTime) / 1000),
    hourOfDay: round((time % day) / hour, 100),
    terminalVelocity: round(terminal.velocity, 100),
    cardPresent: online ? 0 : 1,
    foreign: abroad ? 1 : 0,
  }
  if (holder.countsItems) features.itemCount = Math.max(1, Math.round(amount / holder.pricePerItem))
  return { amount, features }
}

/** Makes the payment one of the episode; false while it is still an ordinary one (the creeping part of a drift). */
function distort(payment: Payment, episode: Episode, chance: Random): boolean {
  const { features } = payment
  switch (episode.kind) {
    case 'amount-spike':
      payment.amount *= between(chance, 12, 40)
      return true
    case 'stolen-card-burst':
      payment.amount *= between(chance, 2, 5)
      features.distanceKm = Math.round(between(chance, 2_000, 9_000))
      features.foreign = 1
      features.cardPresent = 1
      features.merchantRisk = round(between(chance, 0.4, 0.8), 1000)
      return true
    case 'compromised-terminal':
      features.merchantRisk = round(between(chance, 0.85, 0.99), 1000)
      features.terminalVelocity = round(features.terminalVelocity! + between(chance, 25, 60), 100)
      features.cardPresent = 0
      features.distanceKm = round(between(chance, 1, 30), 10)
      return true
    case 'slow-drift':
      payment.amount *= driftFactor ** Math.min(1, (episode.step + 1) / (creepLength + 1))
      return episode.step >= creepLength
    case 'missing-features':
      delete features.distanceKm
      delete features.merchantRisk
      delete features.terminalVelocity
      return true
  }
}

function drawKind(chance: Random): AnomalyKind {
  let rest = chance.next()
  for (const kind of anomalyKinds) {
    rest -= episodePlan[kind].share
    if (rest < 0) return kind
  }
  return 'amount-spike'
}

function newEpisode(chance: Random, number: number): Episode {
  const kind = drawKind(chance)
  const { shortest, longest } = episodePlan[kind]
  const anomalous = shortest + chance.int(longest - shortest + 1)
  return { number, kind, length: kind === 'slow-drift' ? creepLength + anomalous : anomalous, step: 0 }
}

function newTerminal(chance: Random, startTime: number): Terminal {
  return { risk: 0.02 + 0.3 * chance.next() ** 3, velocity: 0, lastTime: startTime, episode: undefined }
}

function newCardHolder(chance: Random, user: number, all: readonly Terminal[], startTime: number): CardHolder {
  const paymentsPerDay = Math.min(20, Math.max(2, Math.exp(Math.log(6) + 0.5 * normal(chance))))
  const peakRate = paymentsPerDay / day / meanRhythm
  const holder: CardHolder = {
    id: `user-${String(user + 1).padStart(4, '0')}`,
    logAmount: Math.log(35) + 0.5 * normal(chance),
    logAmountSpread: between(chance, 0.25, 0.55),
    peakRate,
    busiestHour: between(chance, 11, 17),
    logDistance: Math.log(4) + 0.5 * normal(chance),
    terminals: Array.from({ length: 3 + chance.int(4) }, () => all[chance.int(all.length)]!),
    onlineShare: 0.4 * chance.next() ** 2,
    abroadShare: chance.next() < 0.1 ? between(chance, 0.05, 0.3) : 0,
    pricePerItem: between(chance, 5, 15),
    countsItems: chance.next() < 0.9,
    payments: 0,
    lastTime: startTime - exponential(chance) / peakRate,
    nextTime: startTime,
    episode: undefined,
  }
  holder.nextTime = nextOrdinaryTime(chance, holder, startTime)
  return holder
}

/** A Poisson process whose rate follows the rhythm of the day, by thinning (Lewis & Shedler 1979). */
function nextOrdinaryTime(chance: Random, holder: CardHolder, after: number): number {
  let time = after
  do time += 1 + exponential(chance) / holder.peakRate
  while (chance.next() >= rhythm(time, holder.busiestHour))
  return time
}

/** Mean of `rhythm` over a day. */
const meanRhythm = 3 / 8

/** 1 in the busiest hour, 0 twelve hours later. */
function rhythm(time: number, busiestHour: number): number {
  return ((1 + Math.cos(2 * Math.PI * ((time % day) / day - busiestHour / 24))) / 2) ** 2
}

/** Restores the heap's order after its first holder's next payment moved into the future. */
function sink(heap: CardHolder[]): void {
  const moved = heap[0]!
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1]!.nextTime < heap[child]!.nextTime) child++
    if (heap[child]!.nextTime >= moved.nextTime) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = moved
}

function normal(chance: Random): number {
  return Math.sqrt(2 * exponential(chance)) * Math.cos(2 * Math.PI * chance.next())
}

function exponential(chance: Random): number {
  return -Math.log(1 - chance.next())
}

function between(chance: Random, low: number, high: number): number {
  return low + (high - low) * chance.next()
}

function round(x: number, steps: number): number {
  return Math.round(x * steps) / steps
}
