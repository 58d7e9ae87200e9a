import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { crd } from '../../lib/pipeline/crd.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import * as kinds from '../../operator/kinds.ts'
import type { KubeObject } from '../../operator/runtime/kube-object.ts'
import { missingFields } from '../../operator/served-crd.ts'
import {
  chartFolder,
  helm,
  installFile,
  objectsOf,
  previousRelease,
  renderChart,
  renderedInstallFile,
  renderedObjects,
} from '../../tools/release/chart.ts'
import { ownBinary } from '../../tools/servers/binaries/binaries.ts'
import { type Cluster, useApiServer } from '../harness/apiserver/use-api-server.ts'
import { useHelm } from '../harness/chart/use-helm.ts'
import { eventually } from '../harness/eventually.ts'

const run = promisify(execFile)
const serviceMonitors = ['--api-versions', 'monitoring.coreos.com/v1']
/** Every value that adds something to what is rendered. */
const everything = {
  replicas: 3,
  image: { digest: `sha256:${'a'.repeat(64)}`, pullPolicy: 'Always' },
  imagePullSecrets: ['registry', 'mirror'],
  namespaces: ['team-a', 'team-b'],
  otlpEndpoint: 'http://collector:4318',
  workloads: { logLevel: 'debug', otlpEndpoint: 'http://collector:4318' },
  env: [{ name: 'HTTPS_PROXY', value: 'http://proxy:3128' }],
  priorityClassName: 'system-cluster-critical',
  nodeSelector: { 'kubernetes.io/os': 'linux' },
  tolerations: [{ key: 'dedicated', operator: 'Exists' }],
  affinity: { nodeAffinity: {} },
  podLabels: { team: 'a' },
  podAnnotations: { note: 'b' },
  networkPolicy: {
    from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
    egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }],
  },
}

const named = ({ kind, metadata }: KubeObject): string =>
  [kind, metadata.namespace, metadata.name].filter((part) => part !== undefined).join(' ')
const deploymentOf = (objects: readonly KubeObject[]) => objects.find(({ kind }) => kind === 'Deployment')!
/** What Helm and kubectl say on standard error, where they fail. */
const complaint = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => '',
    (error: { stderr?: string; message: string }) => (error.stderr || error.message).trim(),
  )

describe("The operator's chart", () => {
  useHelm()

  it('has nothing for Helm to complain of', async () => {
    expect(await helm(['lint', '--strict', chartFolder])).to.include('0 chart(s) failed')
    const values = ['--set-json', JSON.stringify(everything)]
    expect(await helm(['lint', '--strict', chartFolder, ...values])).to.include('0 chart(s) failed')
  })

  it('is an operator of the whole cluster by default', async () => {
    expect((await renderedObjects()).map(named)).to.have.members([
      'ServiceAccount anomaly-system anomaly-operator',
      'CustomResourceDefinition anomalypipelines.anomaly.com',
      'ClusterRole anomaly-operator-crd',
      'ClusterRoleBinding anomaly-operator-crd',
      'ClusterRole anomaly-operator-pipelines',
      'ClusterRoleBinding anomaly-operator-pipelines',
      'ClusterRole anomaly-operator-edit',
      'ClusterRole anomaly-operator-view',
      'Role anomaly-system anomaly-operator-lease',
      'RoleBinding anomaly-system anomaly-operator-lease',
      'Service anomaly-system anomaly-operator',
      'Deployment anomaly-system anomaly-operator',
      'PodDisruptionBudget anomaly-system anomaly-operator',
      'NetworkPolicy anomaly-system anomaly-operator',
      'Pod anomaly-system anomaly-operator-test',
    ])
  })

  it('gives an operator of some namespaces a role in each, and of the whole cluster only two definitions', async () => {
    const objects = await renderedObjects({ namespace: 'team-a', values: { namespaces: ['team-a', 'team-b'] } })
    expect(objects.map(named).filter((name) => /Role/.test(name))).to.have.members([
      'ClusterRole anomaly-operator-crd-team-a',
      'ClusterRoleBinding anomaly-operator-crd-team-a',
      'ClusterRole anomaly-operator-edit-team-a',
      'ClusterRole anomaly-operator-view-team-a',
      'Role team-a anomaly-operator-lease',
      'RoleBinding team-a anomaly-operator-lease',
      'Role team-a anomaly-operator-pipelines',
      'RoleBinding team-a anomaly-operator-pipelines',
      'Role team-b anomaly-operator-pipelines',
      'RoleBinding team-b anomaly-operator-pipelines',
    ])
  })

  it('leaves out what others bring', async () => {
    const values = {
      crds: { enabled: false },
      rbac: { create: false, aggregate: false },
      networkPolicy: { enabled: false },
    }
    expect((await renderedObjects({ values })).map(({ kind }) => kind)).to.have.members([
      'ServiceAccount',
      'Service',
      'Deployment',
      'PodDisruptionBudget',
      'Pod',
    ])
  })

  it('has a ServiceMonitor where it is asked for, and says so where the cluster has none', async () => {
    const values = { serviceMonitor: { enabled: true, labels: { release: 'prometheus' } } }
    const monitor = (await renderedObjects({ values, flags: serviceMonitors })).find(
      ({ kind }) => kind === 'ServiceMonitor',
    )
    expect(monitor?.metadata.labels).to.include({ release: 'prometheus', 'app.kubernetes.io/part-of': 'anomaly' })
    expect(await complaint(renderChart({ values }))).to.include(
      'serviceMonitor.enabled: the cluster has no ServiceMonitors; install the Prometheus operator first',
    )
  })

  it('has alerts and dashboards where they are asked for, with links to their runbooks', async () => {
    const values = {
      prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
      dashboards: { enabled: true, annotations: { grafana_folder: 'Anomaly' } },
      runbooks: 'https://docs.example.com/runbooks',
    }
    const objects = await renderedObjects({ values, flags: serviceMonitors })
    const rule = objects.find(({ kind }) => kind === 'PrometheusRule')!
    expect(rule.metadata.labels).to.include({ release: 'prometheus', 'app.kubernetes.io/part-of': 'anomaly' })
    const { groups } = rule.spec as { groups: { rules: { annotations: { runbook_url: string } }[] }[] }
    for (const { annotations } of groups.flatMap(({ rules }) => rules))
      expect(annotations.runbook_url).to.match(/^https:\/\/docs\.example\.com\/runbooks\/[-a-z]+\.md$/)
    const map = objects.find(({ kind }) => kind === 'ConfigMap')!
    expect(map.metadata.labels).to.include({ grafana_dashboard: '1' })
    expect(map.metadata.annotations).to.include({ grafana_folder: 'Anomaly' })
    const files = map.data as Record<string, string>
    expect(Object.keys(files)).to.have.members(['anomaly-pipeline.json', 'anomaly-operator.json'])
    expect(JSON.parse(files['anomaly-pipeline.json']!)).to.include({ uid: 'anomaly-pipeline' })
    expect(Object.values(files).join()).to.not.include('RUNBOOKS')
    expect(await complaint(renderChart({ values }))).to.include(
      'prometheusRule.enabled: the cluster has no PrometheusRules; install the Prometheus operator first',
    )
  })

  it('brings the definition that this version needs, and keeps it when the release goes', async () => {
    const definition = (await renderedObjects()).find(({ kind }) => kind === 'CustomResourceDefinition')!
    expect(definition.spec).to.deep.equal(JSON.parse(JSON.stringify(crd().spec)))
    expect(definition.metadata.annotations).to.deep.equal({
      'helm.sh/resource-policy': 'keep',
      'argocd.argoproj.io/sync-options': 'Prune=false',
    })
  })

  it('starts the operator with flags that it has', async () => {
    const { spec } = deploymentOf(await renderedObjects({ values: everything })) as unknown as {
      spec: { template: { spec: { containers: [{ args: string[] }] } } }
    }
    const [command, ...flags] = spec.template.spec.containers[0].args
    const { stdout: help } = await run(join(import.meta.dirname, '../../bin/anomaly'), [command!, '--help'])
    expect(flags.map((flag) => flag.slice(0, flag.indexOf('='))).filter((flag) => !help.includes(` ${flag} `))).to.be
      .empty
    expect(flags).to.include.members([
      '--namespaces=team-a,team-b',
      '--image-pull-secrets=registry,mirror',
      `--workload-image=docker.io/library/anomaly@sha256:${'a'.repeat(64)}`,
    ])
    const image = /--redis-image .*?\[default: "(.*?)"\]/.exec(help.replace(/\s+/g, ' '))?.[1]
    expect(await readFile(join(chartFolder, 'values.yaml'), 'utf8')).to.include(`\nredisImage: ${image}\n`)
  })

  for (const [what, values, message] of [
    ['a value that does not exist', { replica: 2 }, "at '': additional properties 'replica' not allowed"],
    [
      'one that does not exist in a group',
      { image: { name: 'a' } },
      "at '/image': additional properties 'name' not allowed",
    ],
    ['a word for a number', { replicas: 'two' }, "at '/replicas': got string, want integer"],
    ['no replicas', { replicas: 0 }, "at '/replicas': minimum: got 0, want 1"],
    ['a number for a tag', { image: { tag: 1.1 } }, "at '/image/tag': got number, want string"],
    ['a level that does not exist', { logLevel: 'trace' }, "at '/logLevel': value must be one of 'debug', 'info'"],
    ['a receiver without a scheme', { otlpEndpoint: 'a:4318' }, "at '/otlpEndpoint': 'a:4318' does not match"],
    ['one namespace twice', { namespaces: ['a', 'a'] }, "at '/namespaces': items at 0 and 1 are equal"],
    ['no name of a namespace', { namespaces: ['A'] }, "at '/namespaces/0': 'A' does not match"],
    ['a variable without a name', { env: [{ value: 'a' }] }, "at '/env/0': missing property 'name'"],
  ] as const)
    it(`refuses ${what}`, async () => {
      expect(await complaint(renderChart({ values }))).to.include(message)
    })

  it('takes part in another chart, which gives it `global`', async () => {
    expect(await complaint(renderChart({ values: { global: { region: 'a' } } }))).to.equal('')
  })

  it('says which commands come next', async () => {
    const install = ['install', 'anomaly-operator', chartFolder, '-n', 'team-a', '--dry-run=client']
    const notes = (await helm([...install, '--set', 'namespaces={team-b}'])).split('NOTES:\n')[1]!
    const [pipeline] = objectsOf(/<<'END'\n(.*)\nEND\n/s.exec(notes)![1]!)
    expect(parsePipeline(pipeline).metadata.name).to.equal('payments')
    expect(notes.split('\n').filter((line) => /^(helm|kubectl|curl)/.test(line))).to.deep.equal([
      'helm test anomaly-operator -n team-a',
      "kubectl apply -n team-b -f - <<'END'",
      'kubectl get apl -n team-b -w',
      'kubectl port-forward -n team-b svc/payments-api 8080',
      "curl -X POST localhost:8080/api/v1/detect -H 'Content-Type: application/json' \\",
    ])
  })
})

describe('manifests/operator/install.yaml', () => {
  useHelm()

  it('is what the chart renders (if not: make manifests)', async () => {
    expect(await readFile(installFile, 'utf8')).to.equal(await renderedInstallFile())
  })
})

describe('The previous release, as a fixture', () => {
  useHelm()
  const previous = async (): Promise<readonly KubeObject[]> =>
    objectsOf(await helm(['template', 'anomaly-operator', previousRelease, '--set', 'image.tag=0.1.0']))

  it('differs from this one in nothing that replaces a pod of the operator', async () => {
    const [before, now] = [deploymentOf(await previous()), deploymentOf(await renderedObjects())]
    expect(before.spec).to.deep.equal(now.spec)
  })

  it('has the rights with which an operator of this version works', async () => {
    const rights = (objects: readonly KubeObject[]) =>
      Object.fromEntries(objects.filter(({ rules }) => rules !== undefined).map((one) => [named(one), one.rules]))
    expect(rights(await previous())).to.deep.equal(rights(await renderedObjects()))
  })

  it('has a definition with which an operator of this version works: its image is of this version', async () => {
    const definition = (await previous()).find(({ kind }) => kind === 'CustomResourceDefinition')!
    expect(missingFields(definition, crd())).to.deep.equal([])
    expect(definition.spec).to.not.deep.equal(JSON.parse(JSON.stringify(crd().spec)))
  })
})

/** How Helm and kubectl reach an API server. */
function clients(cluster: Cluster) {
  const inCluster = () => ['--kubeconfig', cluster.server.kubeconfigPath]
  const kubectl = async (args: readonly string[], input = '') => {
    const work = run(await ownBinary('kubectl'), [...inCluster(), ...args])
    work.child.stdin?.end(input)
    return work
  }
  return { inCluster, kubectl }
}

describe('manifests/operator/install.yaml in an API server', () => {
  useHelm()
  const { kubectl } = clients(useApiServer())

  it('can be applied and applied again by kubectl', async () => {
    const versions = async () =>
      (await kubectl(['get', '-f', installFile, '-o', 'jsonpath={.items[*].metadata.resourceVersion}'])).stdout
    await kubectl(['apply', '-f', installFile])
    await eventually(() => kubectl(['wait', '--for=condition=Established', 'crd/anomalypipelines.anomaly.com']))
    // The API server may still write into the definition's status.
    await eventually(async () => {
      const before = await versions()
      expect((await kubectl(['apply', '-f', installFile])).stderr).to.equal('')
      expect(await versions()).to.equal(before)
    })
  })
})

describe("The operator's chart in an API server", () => {
  useHelm()
  const cluster = useApiServer({ controllerManager: true })
  const { inCluster, kubectl } = clients(cluster)
  const install = (namespace: string, values: object, ...flags: string[]) =>
    helm([
      ...['install', 'anomaly-operator', chartFolder, ...inCluster(), '-n', namespace],
      ...['--set-json', JSON.stringify(values), ...flags],
    ])
  const generation = async (namespace: string) =>
    (await kubectl(['get', 'deployment', 'anomaly-operator', '-n', namespace, '-o', 'jsonpath={.metadata.generation}']))
      .stdout

  before('make namespaces', async () => {
    for (const name of ['team-a', 'team-b', 'team-c']) {
      await kubectl(['create', 'namespace', name])
      await kubectl([
        'label',
        'namespace',
        name,
        ...['enforce', 'warn'].map((mode) => `pod-security.kubernetes.io/${mode}=restricted`),
      ])
    }
  })

  for (const [what, values] of [
    ['by default', {}],
    ['with every value', everything],
  ] as const)
    it(`is accepted as it is ${what}, under the restricted Pod Security Standard`, async () => {
      const rendered = await renderChart({ namespace: 'team-a', values })
      const apply = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-']
      const { stdout, stderr } = await kubectl(apply, rendered)
      // Pod Security warns here of whatever it would not let start.
      expect(stderr).to.equal('')
      expect(stdout.trim().split('\n')).to.have.length(objectsOf(rendered).length)
    })

  it('can be there twice, for namespaces of their own', async () => {
    await install('team-a', { namespaces: ['team-a'] })
    await install('team-b', { namespaces: ['team-b'], crds: { enabled: false } })
    const overlapping = install('team-c', { namespaces: ['team-c', 'team-b'], crds: { enabled: false } })
    expect(await complaint(overlapping)).to.match(
      /anomaly-operator-pipelines.*cannot be imported into the current release/s,
    )
    for (const namespace of ['team-a', 'team-b'])
      await helm(['uninstall', 'anomaly-operator', ...inCluster(), '-n', namespace])
  })

  it('changes nothing by an upgrade with the same values, and brings the definition of its version', async () => {
    const where = [...inCluster(), '-n', 'anomaly-system']
    // The definition is another release's.
    const flags = ['--create-namespace', '--take-ownership', '--set', 'image.tag=0.1.0']
    await helm(['install', 'anomaly-operator', previousRelease, ...where, ...flags])
    const path = '{.spec.versions[0].additionalPrinterColumns[*].name}'
    const columns = async () =>
      (await kubectl(['get', 'crd', 'anomalypipelines.anomaly.com', '-o', `jsonpath=${path}`])).stdout
    expect(await columns()).to.not.include('Message')
    for (let upgrade = 0; upgrade < 2; upgrade++) {
      await helm(['upgrade', 'anomaly-operator', chartFolder, ...where])
      expect(await columns()).to.include('Message')
      expect(await generation('anomaly-system')).to.equal('1')
    }
  })

  it('keeps pipelines and their definition when it is uninstalled, and takes them up again', async () => {
    const where = [...inCluster(), '-n', 'anomaly-system']
    const { apiVersion, kind } = kinds.pipelines
    const pipeline = {
      apiVersion,
      kind,
      metadata: { name: 'payments', namespace: 'team-a' },
      spec: { source: { brokers: ['a:1'] } },
    }
    await kubectl(['apply', '-f', '-'], JSON.stringify(pipeline))
    await helm(['uninstall', 'anomaly-operator', ...where])
    const kindsOfRelease = 'deployments,services,serviceaccounts,roles,rolebindings,pdb,networkpolicies'
    const { stdout: left } = await kubectl(['get', kindsOfRelease, '-n', 'anomaly-system', '-o', 'name'])
    expect(left).to.equal('')
    const { stdout: roles } = await kubectl(['get', 'clusterroles,clusterrolebindings', '-o', 'name'])
    expect(roles).to.not.include('anomaly')
    await install('anomaly-system', {})
    expect((await kubectl(['get', 'apl', 'payments', '-n', 'team-a', '-o', 'name'])).stdout).to.include('payments')
  })
})

describe('An operator that changes from kubectl to Helm, or back', () => {
  useHelm()
  const controllerManager = ['deployment-controller', 'garbage-collector-controller', 'namespace-controller']
  const { inCluster, kubectl } = clients(useApiServer({ controllerManager }))
  const image = 'registry.example.com/anomaly'
  const release = () => ['anomaly-operator', chartFolder, ...inCluster(), '-n', 'anomaly-system']
  const install = (...flags: string[]) =>
    helm(['install', ...release(), '--set', `image.repository=${image}`, ...flags])
  const apply = async (...flags: string[]) => {
    const manifests = (await readFile(installFile, 'utf8')).replaceAll('docker.io/library/anomaly:', `${image}:`)
    return await kubectl(['apply', '--server-side', ...flags, '-f', '-'], manifests)
  }
  /** What the operator is made of, without who manages it. */
  async function made(): Promise<readonly object[]> {
    const { items } = JSON.parse((await kubectl(['get', '-f', installFile, '-o', 'json'])).stdout) as {
      items: readonly KubeObject[]
    }
    return items.map(({ status: _, metadata: { name, generation, labels }, ...rest }) => ({
      ...rest,
      metadata: { name, generation, version: labels?.['app.kubernetes.io/version'] },
    }))
  }
  /** A change of the pods of the operator makes another. */
  const replicaSets = async () =>
    (
      await kubectl([
        ...['get', 'replicasets', '-n', 'anomaly-system', '-o', 'jsonpath={.items[*].metadata.name}'],
        ...['-l', 'app.kubernetes.io/name=anomaly-operator'],
      ])
    ).stdout.split(' ')
  const pipelineUid = async () =>
    (await kubectl(['get', 'apl', 'payments', '-n', 'default', '-o', 'jsonpath={.metadata.uid}'])).stdout

  it('is refused to Helm before anything is changed, and is its own with --take-ownership: no pod is replaced', async () => {
    await apply()
    const { apiVersion, kind } = kinds.pipelines
    const metadata = { name: 'payments', namespace: 'default' }
    const pipeline = { apiVersion, kind, metadata, spec: { source: { brokers: ['a:1'] } } }
    await eventually(() => kubectl(['apply', '-f', '-'], JSON.stringify(pipeline)))
    const uid = await pipelineUid()
    await eventually(async () => expect(await replicaSets()).to.not.deep.equal(['']))
    const [before, pods] = [await made(), await replicaSets()]
    expect(await complaint(install())).to.match(/cannot be imported into the current release/)
    expect(await made()).to.deep.equal(before)
    expect(await helm(['list', ...inCluster(), '-n', 'anomaly-system', '--short'])).to.equal('')

    await install('--take-ownership', '--server-side=false')
    expect(await replicaSets()).to.deep.equal(pods)
    await helm(['upgrade', ...release(), '--reuse-values', '--set', 'logLevel=debug'])
    await eventually(async () => expect(await replicaSets()).to.have.length(2))
    expect(await replicaSets()).to.include.members(pods)
    await helm(['uninstall', 'anomaly-operator', ...inCluster(), '-n', 'anomaly-system'])
    await eventually(async () => expect(await replicaSets()).to.deep.equal(['']))
    expect(await pipelineUid()).to.equal(uid)
  })

  it('is refused to kubectl where values differ, and nothing is changed; after `helm uninstall` it is applied', async () => {
    await install('--create-namespace', '--set', 'replicas=3', '--force-conflicts')
    const uid = await pipelineUid()
    const before = await made()
    expect(await complaint(apply())).to.match(/conflict with "helm"/)
    expect(await made()).to.deep.equal(before)

    await helm(['uninstall', 'anomaly-operator', ...inCluster(), '-n', 'anomaly-system'])
    await apply('--force-conflicts')
    const [deployment] = (await made()).filter((one) => (one as KubeObject).kind === 'Deployment') as KubeObject[]
    expect(deployment!.spec).to.include({ replicas: 2 })
    expect(await pipelineUid()).to.equal(uid)
    expect((await apply()).stderr).to.equal('')
  })
})
