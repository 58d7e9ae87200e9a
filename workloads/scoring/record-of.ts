import { createHash } from 'node:crypto'
import type { ModelRecord, Takeover } from '../detection/model-record.ts'
import type { TimeSpan } from '../detection/time-span.ts'
import type { ModelSet } from './model-set.ts'

/** What is kept of a model beside its artifact. */
export function recordOf(
  models: ModelSet,
  artifact: Uint8Array,
  about: Takeover & { readonly times: TimeSpan | undefined; readonly fittedAt: number | undefined },
): ModelRecord {
  const { version, rowsSeen, columns } = models
  return { version, rowsSeen, columns, bytes: artifact.length, checksum: checksumOf(artifact), ...about }
}

/** SHA-256 in hexadecimal digits. */
export const checksumOf = (artifact: Uint8Array): string => createHash('sha256').update(artifact).digest('hex')
