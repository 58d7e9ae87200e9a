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
] as const
export type RejectReason = (typeof rejectReasons)[number]

/** Why an event could not be read. */
export interface Rejection {
  readonly reason: RejectReason
  /** The field at fault, as the event names it. */
  readonly field?: string
  readonly message: string
}
