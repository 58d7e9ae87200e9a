import { runExactlyOnce } from '../../../workloads/streams/exactly-once.ts'

/** A process that gives one result a record; `args` are broker, source, results, group, session time-out in ms. Tells its parent what it owns. */
const [broker, source, results, group, sessionTimeoutMs] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]

const silent = (): void => {}
const loop = runExactlyOnce(
  {
    brokers: broker.split(','),
    clientId: `member-${process.pid}`,
    log: { debug: silent, info: silent, warn: silent, error: silent },
  },
  {
    topic: source,
    groupId: group,
    startFrom: 'Earliest',
    sessionTimeoutMs: Number(sessionTimeoutMs),
    maxBytesPerPartition: 64 * 1024,
    onOffsetLost: silent,
    handler: {
      assigned: async () => {},
      batch: async ({ records }) => records.map(({ key, value }) => ({ topic: results, key, value })),
      committed: silent,
      dropped: silent,
      releasing: async () => {},
      revoked: silent,
      tooLarge: (record) => record,
      unprocessable: ({ key, value }) => ({ topic: 'dead-letters', key, value }),
      setAside: () => {},
    },
  },
)
setInterval(() => process.send!({ ready: loop.ready(), owned: [...loop.lag().keys()] }), 200)
process.once('SIGTERM', async () => {
  await loop.stop()
  process.exit()
})
