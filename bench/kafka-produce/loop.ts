/** What the parent asks of a loop: `args` are broker, source, results, group, number of events. */
export interface LoopReport {
  readonly eventsPerSecond: number
  readonly cpuMicrosecondsPerEvent: number
}

export const [broker, source, results, group, events] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]

/** Of one fetch of a partition, in both loops: larger, the stock loop's verdicts exceed what the broker takes at once. */
export const maxBytesPerPartition = 640 * 1024

let start: { readonly at: number; readonly cpu: NodeJS.CpuUsage } | undefined
let left = Number(events)

/** To be called with the first records in hand. */
export function begin(): void {
  start ??= { at: performance.now(), cpu: process.cpuUsage() }
}

/** To be called after each commit: tells the parent and exits after the last one. */
export function committed(count: number): void {
  left -= count
  if (left > 0) return
  const { user, system } = process.cpuUsage(start!.cpu)
  const report: LoopReport = {
    eventsPerSecond: Number(events) / ((performance.now() - start!.at) / 1000),
    cpuMicrosecondsPerEvent: (user + system) / Number(events),
  }
  process.send!(report, () => process.exit())
}

const padding = 'x'.repeat(390)

/** A verdict of 440 bytes. */
export function verdictOf(value: Buffer): string {
  const { eventId } = JSON.parse(value.toString()) as { eventId: string }
  return `{"eventId":"${eventId}","reasons":"${padding}"}`.padEnd(440)
}
