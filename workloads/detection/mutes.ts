import type { DetectionSpec } from '../../lib/pipeline/spec.ts'

/** A silence that a person asked for, ready to be looked up. */
export interface Mute {
  /** Milliseconds since 1970. */
  readonly until: number
  /** Of each pattern, what stands between its asterisks. */
  readonly keys: readonly (readonly string[])[]
  /** Features of strongest reasons; any without. */
  readonly reasons: ReadonlySet<string> | undefined
}

export function mutesOf({ mutes = [] }: Pick<DetectionSpec, 'mutes'>): readonly Mute[] {
  return mutes.map(({ keys, reasons, until }) => {
    return {
      until: Date.parse(until),
      keys: keys.map((key) => key.split('*')),
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
      mute.keys.some((parts) => matches(parts, key)),
  )
}

/** In one pass, whatever the pattern. */
function matches(parts: readonly string[], key: string): boolean {
  const [first, last] = [parts[0]!, parts.at(-1)!]
  if (parts.length === 1) return key === first
  if (key.length < first.length + last.length || !key.startsWith(first) || !key.endsWith(last)) return false
  const end = key.length - last.length
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = key.indexOf(part, at)
    if (found === -1 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
