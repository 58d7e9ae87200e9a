/**
 * A partition's transactional id. No topic has a slash in its name, so that two groups never share one, however their
 * names and those of their topics are cut.
 */
export const transactionalId = (groupId: string, topic: string, part: number | 'start'): string =>
  `${groupId}/${topic}/${part}`

/** The id of earlier versions: their producers are fenced too, so that both may be in one group during an upgrade. */
export const formerTransactionalId = (groupId: string, topic: string, partition: number): string =>
  `${groupId}-${topic}-${partition}`
