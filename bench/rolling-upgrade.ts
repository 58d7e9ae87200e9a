import { type ChildProcess, fork } from 'node:child_process'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { openAdmin } from '../lib/kafka/admin.ts'
import type { KafkaSettings } from '../lib/kafka/client.ts'
import { connectProducer } from '../lib/kafka/producer.ts'
import { readTopic } from '../lib/kafka/read-topic.ts'
import { createLogger } from '../lib/log.ts'
import { startKafka } from '../tools/servers/kafka/kafka.ts'

/**
 * `node bench/rolling-upgrade.ts FOLDER [MINUTES]`: members of the build in FOLDER and of this one are in one group, under
 * load. Again and again one is ended, killed or stalled, and one of the other build takes its place. Counts the results.
 */
const [folder, minutes = '3'] = process.argv.slice(2)
if (folder === undefined) throw new Error('Say where the other build is: a folder with its sources and node_modules')

const kafka = await startKafka()
const settings: KafkaSettings = {
  brokers: kafka.brokers,
  clientId: 'test',
  log: await createLogger({ level: 'silent' }),
}
const admin = openAdmin(settings)
await admin.createMissingTopics(['events', 'results'].map((topic) => ({ topic, partitions: 6 })))

const member = 'test/integration/kafka-client/member.ts'
const builds = [pathToFileURL(resolve(folder, member)), new URL(`../${member}`, import.meta.url)]
const members: { readonly child: ChildProcess; readonly build: number }[] = []
const start = (build: number): void => {
  const args = [kafka.brokers[0]!, 'events', 'results', 'group', '6000']
  members.push({ child: fork(builds[build]!, args), build })
}

let sent = 0
let isOver = false
async function feed(): Promise<void> {
  const producer = await connectProducer(settings)
  for (; !isOver; sent += 200) {
    const values = Array.from({ length: 200 }, (_, i) => String(sent + i))
    await producer.send(values.map((value) => ({ topic: 'events', key: `key-${Number(value) % 50}`, value })))
    await delay(50)
  }
  await producer.close()
}

async function exchange(how: number): Promise<void> {
  const { child, build } = members.shift()!
  start(1 - build)
  if (how === 2) {
    child.kill('SIGSTOP')
    await delay(8000)
    child.kill('SIGCONT')
    await delay(3000)
  }
  child.kill(how === 0 ? 'SIGTERM' : 'SIGKILL')
  await delay(9000)
}

async function valuesOf(topic: string): Promise<Map<string, string[]>> {
  const values = new Map<string, string[]>()
  await readTopic(settings, topic, ({ records }) => {
    for (const { key, value } of records) {
      const list = values.get(String(key)) ?? []
      values.set(String(key), list)
      list.push(String(value))
    }
  })
  return values
}

for (const build of [0, 0, 1]) start(build)
const feeding = feed()
const end = performance.now() + Number(minutes) * 60_000
let exchanges = 0
while (performance.now() < end) await exchange(exchanges++ % 3)
isOver = true
await feeding
for (;;) {
  const lag = await admin.lag('group', 'events')
  if ([...lag.values()].every((left) => left === 0)) break
  await delay(500)
}
const [events, results] = [await valuesOf('events'), await valuesOf('results')]
let [missing, doubled, outOfOrder] = [0, 0, 0]
for (const [key, values] of events) {
  const found = results.get(key) ?? []
  const distinct = [...new Set(found)]
  missing += values.filter((value) => !distinct.includes(value)).length
  doubled += found.length - distinct.length
  if (distinct.some((value, i) => i > 0 && Number(value) < Number(distinct[i - 1]))) outOfOrder++
}
console.log(JSON.stringify({ events: sent, exchanges, missing, doubled, keysOutOfOrder: outOfOrder }))
for (const { child } of members) child.kill('SIGKILL')
admin.close()
await kafka.stop()
