import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { parse } from 'yaml'
import * as kinds from '../../../operator/kinds.ts'
import { binary } from '../../../tools/servers/binaries/binaries.ts'
import { removeFolder, temporaryFolder } from '../../../tools/servers/server.ts'
import { useApiServer } from '../../harness/apiserver/use-api-server.ts'
import { eventually } from '../../harness/eventually.ts'
import { useOperator } from '../../harness/operator.ts'

const plugin = join(import.meta.dirname, '../../../bin/kubectl-anomaly')
const run = promisify(execFile)

describe('kubectl anomaly', () => {
  const cluster = useApiServer()
  const bench = useOperator(cluster)
  let namespace: string
  const folder = temporaryFolder('plugin')
  let kubectl: string

  before(async () => {
    kubectl = await binary('kubectl')
    writeFileSync(join(folder, 'kubeconfig'), cluster.server.kubeConfig.exportConfig())
  })
  after(() => removeFolder(folder))
  beforeEach(async () => {
    namespace = await bench.namespace()
    await bench.start()
    await bench.apply(namespace)
    await bench.untilReady(namespace)
  })

  async function anomaly(...args: readonly string[]): Promise<string> {
    const PATH = `${dirname(kubectl)}${delimiter}${process.env.PATH}`
    const flags = ['--namespace', namespace, '--kubeconfig', join(folder, 'kubeconfig')]
    return (await run(plugin, [...args, ...flags], { env: { ...process.env, PATH } })).stdout
  }

  it('shows how a pipeline is', async () => {
    expect(await anomaly('status', 'payments')).to.match(new RegExp(`^${namespace}/payments: True AllReady`))
    expect(await anomaly('status')).to.contain('consumer    1/1')
  })

  it('pauses, resumes and restarts', async () => {
    await anomaly('pause', 'payments')
    await eventually(async () => {
      await bench.settle(namespace)
      expect(await bench.condition(namespace, 'Ready')).to.equal('True Paused')
    })
    await anomaly('resume', 'payments')
    await bench.untilReady(namespace)
    const restartAt = async () => {
      const { spec } = await bench.get(kinds.deployments, namespace, 'payments-api')
      const { template } = spec as { template: { metadata: { annotations: Readonly<Record<string, string>> } } }
      return template.metadata.annotations['anomaly.com/restart-at']
    }
    await anomaly('restart', 'payments')
    await eventually(async () => expect(await restartAt()).to.match(/^\d{4}-.*Z$/))
  })

  it('reports all but secrets', async () => {
    const text = await anomaly('report', 'payments')
    const report = parse(text) as { objects: { kind: string; metadata: { name: string } }[]; events: unknown[] }
    const names = report.objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
    expect(names).to.include.members(['Deployment payments-api', 'Secret payments-redis', 'StatefulSet payments-redis'])
    expect(report.events).to.have.length.greaterThan(0)
    for (const { data } of (await bench.client.list(kinds.secrets, { namespace })).items)
      for (const value of Object.values((data ?? {}) as Readonly<Record<string, string>>))
        for (const form of [value, Buffer.from(value, 'base64').toString().trim()]) expect(text).to.not.contain(form)
  })

  it('says in one line what is wrong', async () => {
    const error = await anomaly('status', 'nothing').catch((reason: { stderr: string }) => reason.stderr)
    expect(error).to.match(/^kubectl anomaly: .*"nothing" not found\n$/)
  })
})
