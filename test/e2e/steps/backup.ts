import type { Step } from '../run-steps.ts'
import { demo, must, pipelineDocument, secondsUntil, untilCondition, untilReady, type World } from '../world.ts'

const claim = 'backups'
const restored = 'restored'

/** Of every profile that a pipeline's Redis has: how many they are, and a hash. */
const digest = `
local names = redis.call('KEYS', 'profile:*')
table.sort(names)
local profiles = {}
for i, name in ipairs(names) do profiles[i] = name .. redis.sha1hex(redis.call('DUMP', name)) end
return #names .. ' ' .. redis.sha1hex(table.concat(profiles))`

async function learnt({ kubectl }: World, name: string): Promise<string> {
  const answer = await kubectl([
    '-n',
    demo,
    'exec',
    `${name}-redis-0`,
    '-c',
    'redis',
    '--',
    'redis-cli',
    'eval',
    digest,
    '0',
  ])
  must(/^[1-9]\d* \w{40}\s*$/.test(answer), `${name} has learnt ${answer}`)
  return answer.trim()
}

const managedRedis = (fields: object) => ({ state: { redis: { managed: { memoryMebibytes: 64, ...fields } } } })
const from = (path: string) => managedRedis({ restoreFrom: { claimName: claim, path } })

export const backupSteps: readonly Step<World>[] = [
  {
    name: 'a backup of Redis: a Job writes it to a claim, and the status says when',
    async run(world) {
      const { kubectl, traffic } = world
      await traffic.burst(2000)
      await traffic.expectExact()
      const resources = { requests: { storage: '1Gi' } }
      await kubectl.apply({
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: claim, namespace: demo },
        spec: { accessModes: ['ReadWriteOnce'], resources },
      })
      const backup = { schedule: '0 3 1 1 *', claimName: claim }
      await kubectl.patch('apl', 'payments', demo, { spec: { state: { redis: { managed: { backup } } } } })
      await untilCondition(world, 'payments', { type: 'BackedUp', status: 'Unknown', reason: 'NoneYet' })
      await kubectl(['-n', demo, 'create', 'job', 'now', '--from=cronjob/payments-redis-backup'])
      await untilCondition(world, 'payments', { type: 'BackedUp', status: 'True' })
      const { status } = await kubectl.get('apl', 'payments', demo)
      must(
        Date.now() - Date.parse(status.backup?.lastTime) < 300_000,
        `the last backup is of ${status.backup?.lastTime}`,
      )
    },
  },
  {
    name: 'a new pipeline begins with the backup, and goes on without it',
    async run(world, measure) {
      const { kubectl, brokers } = world
      const began = performance.now()
      await kubectl.apply(pipelineDocument(restored, brokers, from(`${demo}_payments`)))
      await untilReady(world, restored)
      measure('pipeline with a backup applied to Ready', 120, (performance.now() - began) / 1000)
      const wanted = await learnt(world, 'payments')
      const found = await learnt(world, restored)
      must(found === wanted, `it has learnt ${found} instead of ${wanted}`)
      const before = (await kubectl.get('pod', `${restored}-redis-0`, demo)).metadata.uid
      await kubectl.patch('apl', restored, demo, { spec: { state: { redis: { managed: { restoreFrom: null } } } } })
      await secondsUntil(async () => {
        const pod = await kubectl.find('pod', `${restored}-redis-0`, demo)
        must(pod !== undefined && pod.metadata.uid !== before, 'Redis has not started once more')
      })
      await untilReady(world, restored)
      const kept = await learnt(world, restored)
      must(kept === wanted, `it has ${kept} of ${wanted} without the claim`)
      await kubectl(['-n', demo, 'delete', 'apl', restored])
    },
  },
  {
    name: 'a backup that does not exist is named, and nothing begins without it',
    async run(world) {
      const { kubectl, brokers } = world
      const name = 'unrestored'
      await kubectl.apply(pipelineDocument(name, brokers, from('nothing')))
      const message = /restoreFrom: the claim has no backup nothing/
      await untilCondition(world, name, { type: 'Ready', status: 'False', message })
      await kubectl(['-n', demo, 'delete', 'apl', name])
      const without = { spec: { state: { redis: { managed: { backup: null } } } } }
      await kubectl.patch('apl', 'payments', demo, without)
      await secondsUntil(async () =>
        must(
          (await kubectl.find('cronjob', 'payments-redis-backup', demo)) === undefined,
          'the CronJob is still there',
        ),
      )
      await untilReady(world, 'payments')
      await kubectl(['-n', demo, 'delete', 'pvc', claim])
    },
  },
]
