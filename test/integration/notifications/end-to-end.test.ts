import { expect } from 'chai'
import { eventually } from '../../harness/eventually.ts'
import { startReceiver } from '../../harness/receiver.ts'
import { type Cluster, eventOf, recordOf, startCluster } from '../consumer/cluster.ts'
import { notificationScene } from './notification-scene.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
;(skipped ? describe.skip : describe)('From an event to a message', function () {
  this.timeout(600_000)
  let cluster: Cluster
  before(async () => {
    cluster = await startCluster()
  })
  after(() => cluster?.stop())

  it('goes by consumer, episode and recorder, once', async () => {
    const rules = [{ name: 'far', field: 'value', above: '1000' }]
    const scene = await cluster.scene({ detection: { rules } })
    const hook = await startReceiver()
    const { episodes, deadLetters } = scene.topics
    const notified = await notificationScene(cluster.kafka, {
      notifications: [{ name: 'hook', webhook: { url: hook.url }, reasons: ['far'] }],
      of: { name: 'scene-1', episodes, deadLetters },
    })
    try {
      await notified.recorder()
      // No inference answers: profiles and rules decide alone.
      await scene.consumer({ inference: '127.0.0.1:1' })
      await scene.send([recordOf({ ...eventOf(0), value: 5000 }), recordOf({ ...eventOf(60), value: 6000 })])
      await eventually(() => expect(hook.received.length).to.equal(1))
      const [event] = hook.events()
      expect(event).to.include({ id: 'default/scene-1/event-0/opened', type: 'com.anomaly.episode.opened' })
      expect(event!.data).to.include({ pipeline: 'scene-1', episodeId: 'event-0', userId: 'user-0' })
      expect(event!.data.summary).to.include('value 5,000 is above 1,000 (rule far)')
    } finally {
      await notified.stop()
      hook.close()
    }
  })
})
