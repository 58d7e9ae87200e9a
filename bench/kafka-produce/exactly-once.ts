import { runExactlyOnce } from '../../workloads/streams/exactly-once.ts'
import { begin, broker, committed, group, maxBytesPerPartition, results, source, verdictOf } from './loop.ts'

/** The same work through our own loop. */

const silent = (): void => {}
const log = { debug: silent, info: silent, warn: console.error, error: console.error }
const staged = new Map<number, number>()
runExactlyOnce(
  { brokers: [broker], clientId: 'bench', log },
  {
    topic: source,
    groupId: group,
    startFrom: 'Earliest',
    maxBytesPerPartition,
    onOffsetLost: silent,
    handler: {
      assigned: async () => {},
      batch: async ({ partition, records }) => {
        begin()
        staged.set(partition, (staged.get(partition) ?? 0) + records.length)
        return records.map(({ key, value }) => ({ topic: results, key, value: verdictOf(value!) }))
      },
      committed: ({ partition }) => {
        committed(staged.get(partition) ?? 0)
        staged.delete(partition)
      },
      dropped: ({ partition }) => void staged.delete(partition),
      releasing: async () => {},
      revoked: silent,
      tooLarge: (record) => record,
      unprocessable: ({ key, value }) => ({ topic: 'dead-letters', key, value }),
      setAside: () => {},
    },
  },
)
