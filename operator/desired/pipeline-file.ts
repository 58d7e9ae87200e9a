import { stringify } from 'yaml'
import { workloadPart } from '../../lib/pipeline/workload-part.ts'
import { configMaps } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, childName, type Parent } from './child.ts'
import type { Mount } from './pod.ts'

const fileName = 'pipeline.yaml'

/** The part of the document that the workloads read, as a file that says of which generation it is. */
export function pipelineFile(parent: Parent): KubeObject {
  const { metadata, ...part } = workloadPart(parent.pipeline)
  const { generation } = parent.pipeline.metadata
  const document = { ...part, metadata: { ...metadata, ...(generation === undefined ? {} : { generation }) } }
  const data = { [fileName]: stringify(document, { lineWidth: 0, aliasDuplicateObjects: false }) }
  return child(parent, configMaps, 'pipeline', { data })
}

export const pipelineFilePath = `/etc/anomaly/pipeline/${fileName}`

export const pipelineFileMount = (parent: Parent): Mount => ({
  name: 'pipeline',
  path: '/etc/anomaly/pipeline',
  source: { configMap: { name: childName(parent, 'pipeline') } },
})
