import type { KeyedDetector, Surprisal } from './detector.ts'
import type { Event } from './event.ts'
import type { Evidence } from './evidence.ts'

/** What the detector says of the event, of which nothing stays but that it came. */
export function observeUnlearnt(detector: KeyedDetector, slot: number, event: Event, evidence: Evidence): Surprisal {
  const { bytesPerKey } = detector
  const memory = new DataView(new ArrayBuffer(bytesPerKey))
  detector.save(slot, memory, 0)
  const shared = detector.shared?.save()
  const surprisal = detector.observe(slot, event, evidence)
  detector.load(slot, memory, 0, bytesPerKey)
  if (shared !== undefined) detector.shared!.load(shared)
  detector.pass?.(slot, event)
  return surprisal
}
