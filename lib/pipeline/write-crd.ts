import { writeFile } from 'node:fs/promises'
import { crdYaml } from './crd.ts'

await writeFile(new URL('../../crds/anomaly.com_anomalypipelines.yaml', import.meta.url), crdYaml())
