import type { Role } from '../../lib/pipeline/spec.ts'

/** What one pod answers on `/status`. */
export interface PodAnswer {
  readonly role: Role
  readonly pod: string
  /** As it came: trust nothing in it. */
  readonly status: unknown
}

export type Fields = Readonly<Record<string, unknown>>

export const fieldsOf = (answer: unknown): Fields =>
  typeof answer === 'object' && answer !== null ? (answer as Fields) : {}

/** The store as the pod sees it: `ok`, or what is wrong with it. */
export const storeOf = ({ redis, store }: Fields): string | undefined => {
  const said = redis ?? store
  return typeof said === 'string' ? said : undefined
}

/** Without for how long: a condition says since when, and a text that changes all the time would be written all the time. */
export const problemText = (said: string): string => said.replaceAll(/ for \d+ m?s\b/g, '').slice(0, 512)

/** The checks that fail, of what `/readyz` answers: a line each, such as `[-]kafka failed: no brokers`. */
export function unreadyCause(readyz: string): string | undefined {
  const failed = readyz
    .split('\n')
    .flatMap((line) => /^\[-\](\S+) failed: (.*)$/.exec(line)?.slice(1, 3).join(': ') ?? [])
  return failed.length === 0 ? undefined : problemText(failed.join('; '))
}
