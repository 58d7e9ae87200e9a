import type { Said } from '../detection/feedback.ts'
import { batches } from './batches.ts'
import type { RedisConnection } from './redis-connection.ts'
import { cursorOf, isAfter, matches, mostSaid, placeOf, type SaidStore, saidOf } from './said.ts'

/** Events that are looked at in one question. */
const portion = 500

/** `said`: what was said of an event, by its id. `said:order`: the ids by when it was said. */
export function createRedisSaid(connection: RedisConnection, { keyPrefix }: { readonly keyPrefix: string }): SaidStore {
  const [entries, order] = [`${keyPrefix}said`, `${keyPrefix}said:order`]

  function saidIn(stored: string): Said {
    const end = stored.indexOf('\n')
    const said = JSON.parse(stored.slice(end + 1)) as Said
    return end === 0 ? said : { ...said, withdrawnAt: Number(stored.slice(0, end)) }
  }

  return {
    async put(feedback) {
      const given = feedback.map((one) => [
        one.eventId,
        String(one.time),
        one.label === 'Withdrawn' ? '' : JSON.stringify(saidOf(one)),
      ])
      for (const step of batches(given, (texts) => Buffer.byteLength(texts.join(''))))
        await connection.write((client) => client.putSaid(2, [entries, order], [String(mostSaid)], step.flat()))
    },
    async list(query, { limit, cursor }) {
      const place = placeOf(cursor)
      const items: Said[] = []
      for (let at = 0; ; at += portion) {
        const ids = await connection.read((client) =>
          client.zrevrangebyscore(order, place?.time ?? '+inf', '-inf', 'LIMIT', at, portion),
        )
        const stored = ids.length === 0 ? [] : await connection.read((client) => client.hmget(entries, ...ids))
        for (const one of stored) {
          const said = one === null ? undefined : saidIn(one)
          if (said === undefined || !isAfter(said, place) || !matches(said, query)) continue
          if (items.length === limit) return { items, next: limit === 0 ? undefined : cursorOf(items.at(-1)!) }
          items.push(said)
        }
        if (ids.length < portion) return { items, next: undefined }
      }
    },
  }
}
