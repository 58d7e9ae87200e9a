import { stringify } from 'yaml'
import { version } from '../../lib/version.ts'
import type { KubeObject } from '../../operator/runtime/kube-object.ts'
import { argocdActionResults, argocdCases } from './argocd-cases.ts'

const customization = 'argocd/resource_customizations/anomaly.com/AnomalyPipeline'
const actions = ['pause', 'restart', 'resume'] as const

/**
 * The files of manifests/ that are made of other sources, or in part, by their path in it. `read` gives what is written there
 * by hand.
 */
export function manifestFiles(read: (path: string) => string): Readonly<Record<string, string>> {
  return {
    'argocd/argocd-cm.yaml': argocdSettings(read),
    'argocd/application.yaml': read('argocd/application.yaml').replace(
      /^( +targetRevision:) v\d.*$/gm,
      `$1 v${version}`,
    ),
    'traffic/job.yaml': read('traffic/job.yaml').replace(/^( +image: \S+:).*$/gm, `$1${version}`),
    ...examples(`${customization}/testdata`, argocdCases()),
    ...examples(`${customization}/actions/testdata`, argocdActionResults()),
  }
}

const examples = (folder: string, objects: Readonly<Record<string, KubeObject>>) =>
  Object.fromEntries(
    Object.entries(objects).map(([name, object]) => [
      `${folder}/${name}.yaml`,
      generated('tools/generate/argocd-cases.ts', object),
    ]),
  )

/** What Argo CD's ConfigMap has to say of AnomalyPipelines. */
function argocdSettings(read: (path: string) => string): string {
  const lua = (path: string): string => read(`${customization}/${path}.lua`)
  const definitions = actions.map((name) => ({ name, 'action.lua': lua(`actions/${name}/action`) }))
  return generated('the .lua files beside it', {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'argocd-cm', namespace: 'argocd', labels: { 'app.kubernetes.io/part-of': 'argocd' } },
    data: {
      'resource.customizations.health.anomaly.com_AnomalyPipeline': lua('health'),
      'resource.customizations.actions.anomaly.com_AnomalyPipeline': stringify(
        { 'discovery.lua': lua('actions/discovery'), definitions },
        { lineWidth: 0 },
      ),
    },
  })
}

const generated = (source: string, value: unknown): string =>
  `# Generated from ${source} by \`npm run generate:manifests\`.\n${stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })}`
