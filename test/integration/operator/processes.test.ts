import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { manager } from '../../../operator/desired/child.ts'
import * as kinds from '../../../operator/kinds.ts'
import type { Resource } from '../../../operator/runtime/kube-object.ts'
import {
  freePorts,
  removeFolder,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../../../tools/servers/server.ts'
import { type FaultProxy, startFaultProxy } from '../../harness/apiserver/fault-proxy.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { minimalSpec, useOperator } from '../../harness/operator.ts'

const leases: Resource = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases', namespaced: true }
const executable = join(import.meta.dirname, '../../../bin/anomaly')
const writing = ['create', 'update', 'apply', 'patch', 'delete'] as const
/** A lease runs out after 15 seconds, and others look every two. */
const patience = 120_000

interface Process {
  readonly server: ServerProcess
  readonly port: number
  /** Between this process and the API server. */
  readonly proxy: FaultProxy
}

describe('Operator: two processes', () => {
  const cluster = useApiServer()
  const bench = useOperator(cluster)
  let namespace: string
  let folder: string
  let processes: Process[]

  beforeEach(async () => {
    folder = temporaryFolder('operators')
    namespace = await bench.namespace()
    processes = []
  })
  afterEach(async () => {
    await Promise.all(
      processes.map(async ({ server, proxy }) => {
        await server.kill()
        await proxy.stop()
      }),
    )
    removeFolder(folder)
  })

  /** `anomaly operator`, as it runs in a pod. */
  async function start(identity: string): Promise<Process> {
    const proxy = await startFaultProxy(cluster.server)
    const config = join(folder, `${identity}.kubeconfig`)
    writeFileSync(config, proxy.kubeConfig.exportConfig())
    const port = (await freePorts(1))[0]!
    const flags = ['--workload-image', 'anomaly:test', '--identity', identity, '--probes-port', String(port)]
    const server = await startServer('env', [`KUBECONFIG=${config}`, executable, 'operator', ...flags], {
      log: join(folder, `${identity}.log`),
      ready: async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok,
    })
    const started = { server, port, proxy }
    processes.push(started)
    return started
  }
  const leads = async ({ port }: Process): Promise<boolean> =>
    ((await (await fetch(`http://127.0.0.1:${port}/status`)).json()) as { leads: boolean }).leads
  const lease = async () =>
    (await bench.client.get(leases, { namespace: 'default', name: manager })).spec as { holderIdentity: string }
  const untilLeading = (one: Process) => eventually(async () => expect(await leads(one)).to.equal(true), patience)
  /** What the process wrote of the pipeline. */
  const writes = ({ proxy }: Process) =>
    proxy.requests
      .filter(({ verb, path }) => (writing as readonly string[]).includes(verb) && path.includes(`/${namespace}/`))
      .map(({ verb, path }) => `${verb} ${path.replace(/^.*\/namespaces\/[^/]+\//, '')}`)
  const apply = (replicas: number) => bench.apply(namespace, { ...minimalSpec, api: { replicas } })
  const untilReplicas = (replicas: number) =>
    eventually(async () => {
      const { spec } = await bench.get(kinds.deployments, namespace, 'payments-api')
      expect((spec as { replicas: number }).replicas).to.equal(replicas)
    }, patience)
  const quiet = async () => {
    const seen = () => processes.reduce((sum, one) => sum + writes(one).length, 0)
    for (let before = -1; before !== seen(); await new Promise((resolve) => setTimeout(resolve, 1000))) before = seen()
  }

  it('pass on what was begun when the one that leads is killed, and write nothing twice', async () => {
    const first = await start('first')
    await untilLeading(first)
    const second = await start('second')
    await apply(3)
    await untilReplicas(3)
    await quiet()
    expect(writes(second)).to.deep.equal([])
    const children = writes(first).filter((write) => !write.includes('events') && !write.endsWith('/status'))
    const repeated = children.filter((write, index) => children.indexOf(write) !== index)
    // The replicas of the consumers are handed over to their HPA once they are there.
    expect(repeated).to.deep.equal(['apply deployments/payments-consumer', 'apply deployments/payments-consumer'])
    expect(new Set(children).size).to.equal((await bench.children(namespace)).length)
    await first.server.kill()
    await apply(4)
    await untilReplicas(4)
    await quiet()
    expect(await leads(second)).to.equal(true)
    expect(writes(second).filter((write) => !write.includes('events'))).to.deep.equal([
      // Pods read the generation of the document there.
      'apply configmaps/payments-pipeline',
      'apply deployments/payments-api',
      'apply anomalypipelines/payments/status',
    ])
  })

  it('never write both, when the one that led wakes up after another took over', async () => {
    const first = await start('first')
    await untilLeading(first)
    const second = await start('second')
    await apply(3)
    await untilReplicas(3)
    await quiet()
    first.server.pause()
    await untilLeading(second)
    await apply(4)
    await untilReplicas(4)
    first.proxy.clear()
    first.server.resume()
    await apply(5)
    await untilReplicas(5)
    await quiet()
    expect(await leads(first)).to.equal(false)
    expect(writes(first)).to.deep.equal([])
  })

  it('pass the lease on when one ends in order', async () => {
    const first = await start('first')
    await untilLeading(first)
    const second = await start('second')
    await apply(3)
    await untilReplicas(3)
    // The one that ends gives the lease back, so that the other need not wait until it runs out.
    expect(await first.server.stop(patience)).to.equal(0)
    expect((await lease()).holderIdentity).to.be.oneOf(['', 'second'])
    await untilLeading(second)
    expect(readFileSync(join(folder, 'first.log'), 'utf8')).to.not.match(/"level":"(warn|error)"/)
  })
})
