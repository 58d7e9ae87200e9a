import type { KafkaAdmin } from './admin.ts'

export interface GroupNames {
  readonly groupId: string
  /** What the group was called before: it is kept where it has read something of the topic, and the other has not. */
  readonly formerGroupId?: string | undefined
}

/** The group whose offsets count. */
export async function currentGroup(
  admin: Pick<KafkaAdmin, 'committedOffsets'>,
  topic: string,
  { groupId, formerGroupId }: GroupNames,
): Promise<string> {
  if (formerGroupId === undefined) return groupId
  const hasOffsets = async (group: string): Promise<boolean> => (await admin.committedOffsets(group, topic)).size > 0
  if (await hasOffsets(groupId)) return groupId
  return (await hasOffsets(formerGroupId)) ? formerGroupId : groupId
}
