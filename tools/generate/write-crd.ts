import { writeFile } from 'node:fs/promises'
import { crdYaml } from '../../lib/pipeline/crd.ts'
import { pipelineJsonSchemaText } from '../../lib/pipeline/json-schema.ts'

await writeFile(new URL('../../crds/anomaly.com_anomalypipelines.yaml', import.meta.url), crdYaml())
await writeFile(new URL('../../docs/pipeline.schema.json', import.meta.url), pipelineJsonSchemaText())
