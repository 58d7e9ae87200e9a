/** The id of the topic that an offset is of, as it is kept with the offset. */
export const topicIdText = (topicId: string | undefined): string => (topicId === undefined ? '' : `topic:${topicId}`)

/** Undefined where nothing was kept: by an earlier version, or of a broker without ids. */
export const topicIdIn = (metadata: string): string | undefined => /^topic:(\S+)$/.exec(metadata)?.[1]
