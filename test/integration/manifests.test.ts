import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { parseAllDocuments } from 'yaml'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { resolveRedis, resolveScaling } from '../../lib/pipeline/resolve-pipeline.ts'
import { roles } from '../../lib/pipeline/spec.ts'
import { renderedObjects } from '../../tools/release/chart.ts'
import { moduleSource, ownBinary } from '../../tools/servers/binaries/binaries.ts'
import { useApiServer } from '../harness/apiserver/use-api-server.ts'
import { useHelm } from '../harness/chart/use-helm.ts'
import { eventually } from '../harness/eventually.ts'

const root = join(import.meta.dirname, '../..')
const manifests = join(root, 'manifests')
// biome-ignore lint/suspicious/noExplicitAny: objects of many kinds
type Document = any

const documentsOf = (text: string): Document[] => parseAllDocuments(text).map((document) => document.toJS())
const documentsIn = (path: string) => documentsOf(readFileSync(join(manifests, path), 'utf8'))

describe('The manifests in an API server', () => {
  const cluster = useApiServer()
  const temporary = mkdtempSync(join(tmpdir(), 'anomaly-manifests-'))
  let program = ''
  after(() => rmSync(temporary, { recursive: true }))

  before('build kubectl, and take in the definitions', async function () {
    if (process.env.SKIP_INTEGRATION === '1') this.skip()
    this.timeout(0)
    program = await ownBinary('kubectl')
    const argocd = await moduleSource('argocd', 'github.com/argoproj/argo-cd/v3')
    const definitions = [
      join(root, 'crds/anomaly.com_anomalypipelines.yaml'),
      join(argocd, 'manifests/crds/application-crd.yaml'),
      join(argocd, 'manifests/crds/appproject-crd.yaml'),
    ]
    await apply(...definitions.flatMap((path) => ['-f', path]))
    // Right after it was made, a definition has no conditions to wait for.
    await eventually(() => kubectl('wait', '--for=condition=Established', 'crd', '--all'))
    for (const namespace of ['argocd', 'payments-staging']) await kubectl('create', 'namespace', namespace)
  })

  const flags = () => ['--kubeconfig', cluster.server.kubeconfigPath]
  const kubectl = async (...args: string[]) => (await promisify(execFile)(program, [...flags(), ...args])).stdout
  /** Lines as `pod/name serverside-applied`; unknown fields are refused. */
  const apply = (...args: string[]) => kubectl('apply', '--server-side', '--validate=strict', ...args)
  const kustomize = async (folder: string) => documentsOf(await kubectl('kustomize', join(manifests, folder)))

  for (const path of ['kafka/kafka.yaml', 'traffic/job.yaml', 'pipelines/secrets/external-redis.yaml'])
    it(`are taken as they are: ${path}`, async () => {
      const applied = await apply('-f', join(manifests, path))
      expect(applied.match(/serverside-applied/g)).to.have.lengthOf(documentsIn(path).length)
    })

  for (const path of ['kafka/kafka.yaml', 'traffic/job.yaml'])
    it(`run under the restricted Pod Security Standard: ${path}`, async () => {
      const [{ spec: owner, metadata }] = documentsIn(path).filter(({ spec }) => spec?.template !== undefined)
      const namespace = 'restricted'
      const labels = { 'pod-security.kubernetes.io/enforce': namespace }
      const pod = { ...owner.template, apiVersion: 'v1', kind: 'Pod' }
      const objects = [
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } },
        { ...pod, metadata: { ...pod.metadata, name: metadata.name, namespace } },
      ]
      const file = join(temporary, `${metadata.name}.json`)
      writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }))
      expect(await apply('-f', file)).to.include(`pod/${metadata.name} serverside-applied`)
      const [container] = pod.spec.containers
      expect(container.resources).to.have.all.keys('requests', 'limits')
    })

  it('send traffic to the topic and the brokers of the pipeline payments', () => {
    const [job] = documentsIn('traffic/job.yaml')
    const [payments] = documentsIn('pipelines/payments.yaml')
    expect(job.spec.template.spec.containers[0].args).to.include.members([
      `--brokers=${payments.spec.source.brokers.join(',')}`,
      `--topic=${payments.spec.source.topic}`,
    ])
    const [, service] = documentsIn('kafka/kafka.yaml')
    const { name, namespace } = service.metadata
    expect(payments.spec.source.brokers).to.deep.equal([`${name}.${namespace}.svc:${service.spec.ports[0].port}`])
  })

  it('have the sample payments as the base of what differs by environment', () => {
    const [sample] = documentsIn('pipelines/payments.yaml')
    // How much of a small machine it takes is the sample's own.
    const { consumer: _, inference: __, api: ___, ...spec } = sample.spec
    expect(documentsIn('kustomize/base/payments.yaml')).to.deep.equal([{ ...sample, spec }])
  })

  for (const folder of ['kustomize/base', 'kustomize/overlays/staging', 'kustomize/overlays/production'])
    it(`are a valid pipeline and nothing else: ${folder}`, async () => {
      const [pipeline, ...others] = await kustomize(folder)
      expect(others).to.deep.equal([])
      expect(parsePipeline(pipeline).metadata.name).to.equal('payments')
    })

  it('have in staging one pod of each kind, and nothing that outlives it', async () => {
    const [document] = await kustomize('kustomize/overlays/staging')
    const pipeline = parsePipeline(document)
    for (const role of roles)
      expect(resolveScaling(pipeline.spec, role)).to.deep.include({ type: 'fixed', replicas: 1 })
    expect(resolveRedis(pipeline)).to.deep.include({ type: 'managed' })
    expect(document.spec.state.redis.managed.storage.type).to.equal('Ephemeral')
  })

  it('have in production two pods and more of each kind that answers, a Redis of its own and tokens', async () => {
    const [document] = await kustomize('kustomize/overlays/production')
    const pipeline = parsePipeline(document)
    // The recorder is one pod: what it misses waits in the topic.
    for (const role of roles.filter((one) => one !== 'recorder')) {
      const scaling = resolveScaling(pipeline.spec, role)
      expect(scaling.type, role).to.equal('autoscaling')
      if (scaling.type === 'autoscaling') expect(scaling.minReplicas, role).to.be.at.least(2)
    }
    expect(resolveRedis(pipeline)).to.deep.include({ type: 'external' })
    expect(pipeline.spec.api.auth.mode).to.equal('Bearer')
  })

  it('are taken by the commands that their README gives', async () => {
    await apply('-f', join(manifests, 'argocd/appproject.yaml'))
    await apply('-f', join(manifests, 'argocd/application.yaml'))
    await kubectl('apply', '-k', join(manifests, 'kustomize/overlays/staging'))
    await kubectl('apply', '-k', join(manifests, 'kustomize/overlays/production'))
    expect((await kubectl('get', 'apl', '-A', '-o', 'name')).trim().split('\n')).to.have.lengthOf(2)
    await kubectl('create', 'configmap', 'argocd-cm', '-n', 'argocd', '--from-literal=url=https://argocd.example.com')
    await kubectl(
      ...['patch', 'configmap', 'argocd-cm', '-n', 'argocd'],
      ...['--patch-file', join(manifests, 'argocd/argocd-cm.yaml')],
    )
    const { data } = JSON.parse(await kubectl('get', 'configmap', 'argocd-cm', '-n', 'argocd', '-o', 'json'))
    expect(Object.keys(data)).to.have.members([
      'url',
      'resource.customizations.health.anomaly.com_AnomalyPipeline',
      'resource.customizations.actions.anomaly.com_AnomalyPipeline',
    ])
  })
})

describe('Projects and Applications of Argo CD', () => {
  useHelm()

  const projects = () => documentsIn('argocd/appproject.yaml').filter(({ kind }) => kind === 'AppProject')
  const projectOf = (name: string) => projects().find(({ metadata }) => metadata.name === name)
  const permitted = ({ spec }: Document): string[] =>
    [...spec.clusterResourceWhitelist, ...spec.namespaceResourceWhitelist].map(({ group, kind }) => `${group}/${kind}`)
  const groupKind = ({ apiVersion, kind }: { apiVersion: string; kind: string }) =>
    `${apiVersion.includes('/') ? apiVersion.split('/')[0] : ''}/${kind}`

  it('permit for the operator what its chart makes, and no other kind', async () => {
    const flags = ['--skip-tests', '--api-versions', 'monitoring.coreos.com/v1']
    const objects = await renderedObjects({ values: { serviceMonitor: { enabled: true } }, flags })
    expect(permitted(projectOf('anomaly-operator'))).to.have.members([...new Set(objects.map(groupKind))])
  })

  it('permit for pipelines nothing but pipelines', () => {
    expect(permitted(projectOf('anomaly-pipelines'))).to.deep.equal(['anomaly.com/AnomalyPipeline'])
  })

  it('permit each Application its repository and its namespace, which is there', () => {
    const documents = documentsIn('argocd/appproject.yaml')
    const namespaces = documents.filter(({ kind }) => kind === 'Namespace').map(({ metadata }) => metadata.name)
    for (const { spec } of documentsIn('argocd/application.yaml')) {
      const project = projectOf(spec.project).spec
      expect(project.sourceRepos).to.deep.equal([spec.source.repoURL])
      expect(project.destinations).to.deep.equal([spec.destination])
      expect(namespaces).to.include(spec.destination.namespace)
      expect(readdirSync(join(root, spec.source.path))).to.not.deep.equal([])
    }
  })
})

describe('The README of the manifests', () => {
  it('says of each file what it is for', () => {
    const readme = readFileSync(join(manifests, 'README.md'), 'utf8')
    const files = readdirSync(manifests, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== 'README.md')
      .map((entry) => relative(manifests, join(entry.parentPath, entry.name)))
    const named = [...readme.matchAll(/`([\w./-]+)`/g)].map(([, path]) => path!)
    const unnamed = files.filter(
      (file) => !named.some((path) => file === path || (path.endsWith('/') && file.startsWith(path))),
    )
    expect(unnamed).to.deep.equal([])
  })
})
