/** Which of the events of a pipeline alerted in the last hour, by what its pods have counted since each was started. */
export interface AlertRate {
  /** Takes in the counts of a pod as they are at this moment. */
  count(pod: string, counts: Counts, at: number): void
  /** Of fewer than a thousand events the share is chance: null when they were all of a whole hour, else undefined. */
  perMillion(at: number): number | null | undefined
}

export interface Counts {
  readonly events: number
  readonly alerts: number
}

const hourMs = 3_600_000
const leastEvents = 1000

/** `at` is monotonic, in milliseconds. */
export function createAlertRate(): AlertRate {
  const last = new Map<string, Counts & { readonly at: number }>()
  /** What was added to the counts, a step a minute. */
  let steps: { readonly minute: number; events: number; alerts: number }[] = []
  let begunAt: number | undefined

  return {
    count(pod, { events, alerts }, at) {
      const before = last.get(pod)
      last.set(pod, { events, alerts, at })
      for (const [other, { at: seenAt }] of last) if (at - seenAt > hourMs) last.delete(other)
      begunAt ??= at
      // What a pod counted before it was first seen is of no known time.
      if (before === undefined) return
      // A container that was started again counts from zero.
      const from = events < before.events || alerts < before.alerts ? { events: 0, alerts: 0 } : before
      const minute = Math.floor(at / 60_000)
      if (steps.at(-1)?.minute !== minute) steps.push({ minute, events: 0, alerts: 0 })
      const step = steps.at(-1)!
      step.events += events - from.events
      step.alerts += alerts - from.alerts
    },
    perMillion(at) {
      steps = steps.filter(({ minute }) => at - minute * 60_000 <= hourMs)
      const sum = (field: keyof Counts) => steps.reduce((total, step) => total + step[field], 0)
      const events = sum('events')
      if (events < leastEvents) return begunAt !== undefined && at - begunAt >= hourMs ? null : undefined
      // In steps of ten, so that chance does not write.
      return Math.min(1_000_000, Math.round((sum('alerts') / events) * 100_000) * 10)
    },
  }
}
