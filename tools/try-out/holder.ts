import { startCluster } from '../servers/cluster/cluster.ts'
import { startKafka } from '../servers/kafka/kafka.ts'
import { writeHolderPid } from './holder-pid.ts'

/** The background process of `make cluster-up`: cluster and Kafka end with it. */

const giveUp = (): void => process.exit(1)
process.once('disconnect', giveUp)
try {
  await startKafka({ node: await startCluster() })
  writeHolderPid()
  process.off('disconnect', giveUp)
  process.send!('up')
  setInterval(() => {}, 2 ** 30)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exit(1)
}
