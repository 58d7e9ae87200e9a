export const rejectReasons = [
  'MalformedJson',
  'NotUtf8',
  'NotAnObject',
  'MissingKey',
  'InvalidId',
  'InvalidTime',
  'InvalidValue',
  'InvalidFeature',
  'InvalidCategory',
  'TooManyFeatures',
  'RaggedRow',
  'TooLarge',
  'Unreadable',
  'Tombstone',
  'UnknownSchema',
  'MalformedRecord',
  'InvalidFeedback',
  'Unprocessable',
] as const
export type RejectReason = (typeof rejectReasons)[number]

/** Why an event could not be read. */
export interface Rejection {
  readonly reason: RejectReason
  /** The field at fault, as the event names it. */
  readonly field?: string
  readonly message: string
}

/** What a message shows of an event stays this short, whatever the event holds. */
const longestShown = 60

/** A value for a message, cut short before it is written: it may be as large and as deep as an event can be. */
export function shown(raw: unknown): string {
  if (typeof raw === 'string')
    return JSON.stringify(raw.length > longestShown ? `${raw.slice(0, longestShown - 3)}...` : raw)
  if (typeof raw === 'object' && raw !== null) return Array.isArray(raw) ? 'a list' : 'an object'
  return String(raw)
}
