import { expect } from 'chai'
import { eventually } from '../../harness/eventually.ts'
import { type OtlpReceiver, startOtlpReceiver } from '../../harness/otlp-receiver.ts'
import { type Cluster, patience, type Scene, startCluster } from './cluster.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'

describe('The trace of an event', () => {
  let cluster: Cluster
  let scene: Scene
  let receiver: OtlpReceiver

  before(async function () {
    if (skipped) this.skip()
    receiver = await startOtlpReceiver()
    process.env.ANOMALY_OTLP_ENDPOINT = receiver.endpoint
    cluster = await startCluster()
    scene = await cluster.scene()
  })
  after(async () => {
    delete process.env.ANOMALY_OTLP_ENDPOINT
    await scene?.stop()
    await cluster?.stop()
    await receiver?.stop()
  })

  it("goes from the record's header through state and scoring to the verdict's header", async () => {
    const { address } = await scene.inference()
    await scene.consumer({ inference: address })
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    const traceparent = `00-${traceId}-b7ad6b7169203331-01`
    const event = { eventId: 'traced', timestamp: Date.now(), userId: 'user-1', value: 1, features: { a: 1 } }
    await scene.send([{ key: event.userId, value: JSON.stringify(event), headers: { traceparent } }])
    await scene.caughtUp()

    const [verdict] = await scene.read(scene.topics.results)
    expect(String(verdict!.headers.traceparent)).to.equal(traceparent)
    await eventually(async () => {
      const spans = receiver.spans.filter((span) => span.traceId === traceId)
      const names = new Set(spans.map(({ service, name }) => `${service}: ${name}`))
      expect([...names]).to.include.members([
        'anomaly-consumer: consume batch',
        'anomaly-consumer: load state',
        'anomaly-consumer: score rows',
      ])
      expect(spans.some(({ service }) => service === 'anomaly-inference')).to.equal(true)
      const linked = receiver.spans.filter(
        ({ name, links }) => name === 'commit' && links?.some((link) => link.traceId === traceId),
      )
      expect(linked).to.have.length(1)
    }, patience)
  })
})
