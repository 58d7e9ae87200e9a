import { stringify } from 'yaml'
import { canonicalJson } from '../../lib/canonical-json.ts'
import type { Pipeline } from '../../lib/pipeline/spec.ts'
import { workloadPart } from '../../lib/pipeline/workload-part.ts'
import { configMaps } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, childName, type Parent, redisAnnotation } from './child.ts'
import type { Mount } from './pod.ts'

const fileName = 'pipeline.yaml'

/** The part of the document that the workloads read, as a file that says of which generation it is. */
export function pipelineFile(parent: Parent): KubeObject {
  const { metadata, ...part } = workloadPart(parent.pipeline)
  const { generation } = parent.pipeline.metadata
  const document = { ...part, metadata: { ...metadata, ...(generation === undefined ? {} : { generation }) } }
  const data = { [fileName]: stringify(document, { lineWidth: 0, aliasDuplicateObjects: false }) }
  const annotations = { [redisAnnotation]: canonicalJson(parent.pipeline.spec.state.redis) }
  return child(parent, configMaps, 'pipeline', { data }, { annotations })
}

/** Where the pods that read the file keep what they learn: all of `spec.state.redis`, as it was when it was written. */
export function redisOf(file: KubeObject | undefined): Pipeline['spec']['state']['redis'] | undefined {
  const text = file?.metadata.annotations?.[redisAnnotation]
  return text === undefined ? undefined : (JSON.parse(text) as Pipeline['spec']['state']['redis'])
}

export const pipelineFilePath = `/etc/anomaly/pipeline/${fileName}`

export const pipelineFileMount = (parent: Parent): Mount => ({
  name: 'pipeline',
  path: '/etc/anomaly/pipeline',
  source: { configMap: { name: childName(parent, 'pipeline') } },
})
