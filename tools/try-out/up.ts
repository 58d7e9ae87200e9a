import { join } from 'node:path'
import { version } from '../../lib/version.ts'
import type { Host } from './host.ts'
import { kind } from './kind.ts'
import { singleNode } from './single-node.ts'

/** `make kind-up` and `make cluster-up`: from nothing to a pipeline that answers, in the same steps. May be run again. */

const root = join(import.meta.dirname, '../..')
const hosts: Readonly<Record<string, () => Host>> = { kind, cluster: singleNode }

async function step(what: string, work: () => Promise<unknown>): Promise<void> {
  process.stdout.write(`${what} …`)
  const began = performance.now()
  await work()
  process.stdout.write(` ${((performance.now() - began) / 1000).toFixed(0)} s\n`)
}

const host = hosts[process.argv[2] ?? '']?.()
if (host === undefined) throw new Error(`Say where: ${Object.keys(hosts).join(' or ')}`)
const { kubectl, helm } = host
try {
  await step('Cluster', host.start)
  await step('Image', () => host.loadImage(version))
  await step('Kafka', host.startKafka)
  await step('Operator', () =>
    helm([
      ...['upgrade', '--install', 'anomaly-operator', join(root, 'charts/anomaly-operator')],
      ...['--namespace', 'anomaly-system', '--create-namespace', '--wait', '--timeout', '5m'],
      ...['--set', `image.tag=${version}`, ...host.values],
    ]),
  )
  await step('Pipeline', async () => {
    const patch = ['--local', '--type=merge', `--patch=${JSON.stringify(host.pipeline)}`, '-o', 'yaml']
    const input = await kubectl(['patch', '-f', join(root, 'manifests/pipelines/payments.yaml'), ...patch])
    await kubectl(['apply', '-f', '-'], { input })
    await kubectl(['wait', '--for=condition=Ready', 'anomalypipeline/payments', '--timeout=300s'])
  })
  process.stdout.write(`
The pipeline payments is Ready. Reach its API:
  ${host.shell}
  kubectl port-forward service/payments-api 8080

Ask it about an event, in another shell:
  curl -X POST localhost:8080/api/v1/detect -H 'Content-Type: application/json' \\
    -d '{"eventId":"test-123","timestamp":1640000000,"userId":"user-456","value":125.5,"features":{"feature1":10.5,"feature2":20.3}}'

Feed it a minute of payments, and see how it fares:
  kubectl apply -f manifests/traffic/job.yaml
  kubectl get anomalypipelines

End it:
  ${host.end}
`)
} catch (error) {
  process.stderr.write(`\n${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
}
