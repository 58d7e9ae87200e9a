import { expect } from 'chai'
import * as kinds from '../../../operator/kinds.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, quietTopic, useOperator } from '../../harness/operator.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const history = { postgres: { urlSecretRef: { name: 'history', key: 'url' } } }
const ofRecorder = ['Deployment', 'NetworkPolicy', 'PodDisruptionBudget', 'Service'].map(
  (kind) => `${kind} payments-recorder`,
)

describe('Operator: the history', () => {
  const cluster = useApiServer({
    controllerManager: ['deployment-controller', 'replicaset-controller', 'statefulset-controller'],
  })
  const bench = useOperator(cluster)
  let namespace: string
  beforeEach(async () => {
    namespace = await bench.namespace()
  })

  const apply = (spec: object) => bench.apply(namespace, { ...minimalSpec, ...spec })
  const makeSecret = (entries: Readonly<Record<string, string>>) =>
    bench.client.create(kinds.secrets, {
      ...{ apiVersion: 'v1', kind: 'Secret' },
      metadata: { name: 'history', namespace },
      data: Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, base64(value)])),
    })
  const untilRunning = () =>
    eventually(async () => {
      await bench.runPods(namespace)
      expect(await bench.condition(namespace, 'Ready')).to.equal('True AllReady')
    })
  const recorders = async () => (await bench.children(namespace)).filter((child) => child.endsWith('-recorder'))
  const conditionOf = async (type: string) =>
    (await bench.status(namespace)).conditions?.find((condition) => condition.type === type)
  const templateOf = async (role: string) => {
    const { spec } = await bench.get(kinds.deployments, namespace, `payments-${role}`)
    return JSON.stringify((spec as { readonly template: unknown }).template)
  }

  it('has a recorder once its Secret is there, which goes with the field', async () => {
    await bench.start()
    await apply({})
    await untilRunning()
    expect(await recorders()).to.deep.equal([])
    await apply({ history })
    const message = (of: string) => `Secret history (spec.history.postgres.urlSecretRef) ${of}`
    const untilTold = (of: string) =>
      eventually(async () => expect((await conditionOf('Ready'))?.message).to.equal(message(of)))
    await untilTold('does not exist')
    expect(await conditionOf('Ready')).to.include({ status: 'False', reason: 'SecretMissing' })
    await makeSecret({ address: 'x' })
    await untilTold('has no entry url')
    expect(await recorders()).to.not.include('Deployment payments-recorder')
    await bench.client.patch(kinds.secrets, { name: 'history', namespace }, { data: { url: base64('postgresql://a') } })
    await untilRunning()
    expect(await recorders()).to.deep.equal(ofRecorder)
    expect((await bench.status(namespace)).components?.recorder).to.deep.include({ summary: '1/1' })
    await apply({})
    await eventually(async () => expect(await recorders()).to.deep.equal([]))
    await untilRunning()
    expect((await bench.status(namespace)).components).to.not.have.property('recorder')
  })

  it('rolls who writes and who reads it when its address changes, and nobody else', async () => {
    await bench.start()
    await makeSecret({ url: 'postgresql://a' })
    await apply({ history })
    await untilRunning()
    const roles = ['consumer', 'inference', 'api', 'recorder']
    const before = await Promise.all(roles.map(templateOf))
    await bench.client.patch(kinds.secrets, { name: 'history', namespace }, { data: { url: base64('postgresql://b') } })
    await eventually(async () => {
      const after = await Promise.all(roles.map(templateOf))
      expect(roles.filter((_, i) => after[i] !== before[i])).to.deep.equal(['api', 'recorder'])
    })
    await untilRunning()
  })

  it('makes the pipeline degraded while PostgreSQL is away, says what waits, and leaves it available', async () => {
    let problem = 'ok'
    const askPod = async (url: string) => {
      if (url.endsWith('/readyz')) return '[-]history failed: no connection\nfailed\n'
      return JSON.stringify({ history: { problem, lag: { verdict: { records: 7, seconds: 1 } } } })
    }
    await bench.start({ sampling: { openAdmin: quietTopic, pods: { askPod, intervalMs: 300 } } })
    await makeSecret({ url: 'postgresql://a' })
    await apply({ history })
    await untilRunning()
    await eventually(async () => expect(await bench.condition(namespace, 'Degraded')).to.equal('False AsExpected'))
    problem = 'anomaly at db:5432 does not answer (since 2025-06-01T12:00:00.000Z)'
    await eventually(async () => {
      expect(await conditionOf('Degraded')).to.include({
        ...{ status: 'True', reason: 'HistoryUnavailable' },
        message: `recorder: ${problem}; what is published waits to be recorded`,
      })
      expect((await bench.status(namespace)).history).to.deep.equal({ lag: 7 })
    })
    expect(await bench.condition(namespace, 'Available')).to.equal('True Serving')
    const event = `Warning HistoryUnavailable recorder: ${problem}; what is published waits to be recorded`
    await eventually(async () => expect(await bench.events(namespace)).to.include(event))
    problem = 'ok'
    await eventually(async () => expect(await bench.condition(namespace, 'Degraded')).to.equal('False AsExpected'))
  })
})
