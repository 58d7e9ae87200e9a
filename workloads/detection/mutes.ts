import type { DetectionSpec } from '../../lib/pipeline/spec.ts'
import { isNamedBy, type NamePattern, namePattern } from './name-pattern.ts'

/** A silence that a person asked for, ready to be looked up. */
export interface Mute {
  /** Milliseconds since 1970. */
  readonly until: number
  readonly keys: readonly NamePattern[]
  /** Features of strongest reasons; any without. */
  readonly reasons: ReadonlySet<string> | undefined
}

export function mutesOf({ mutes = [] }: Pick<DetectionSpec, 'mutes'>): readonly Mute[] {
  return mutes.map(({ keys, reasons, until }) => {
    return {
      until: Date.parse(until),
      keys: keys.map(namePattern),
      reasons: reasons === undefined ? undefined : new Set(reasons),
    }
  })
}

/** Whether an event of the key with this strongest reason does not alert; one without a time always may. */
export function isMuted(mutes: readonly Mute[], key: string, time: number, reason: string): boolean {
  return mutes.some(
    (mute) =>
      time < mute.until &&
      (mute.reasons === undefined || mute.reasons.has(reason)) &&
      mute.keys.some((pattern) => isNamedBy(pattern, key)),
  )
}
