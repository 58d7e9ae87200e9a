import { writeFile } from 'node:fs/promises'
import { crdYaml } from '../../lib/pipeline/crd.ts'

await writeFile(new URL('../../crds/anomaly.com_anomalypipelines.yaml', import.meta.url), crdYaml())
