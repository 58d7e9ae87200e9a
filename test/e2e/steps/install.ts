import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { readTopic } from '../../../lib/kafka/read-topic.ts'
import { previousRelease } from '../../../tools/release/chart.ts'
import type { Step } from '../run-steps.ts'
import { openTraffic } from '../traffic.ts'
import { demo, must, pipelineDocument, secondsUntil, system, topicsOf, untilReady, type World } from '../world.ts'

const run = promisify(execFile)

/** Runs while a port of a Service is forwarded; gives the local port. */
export async function withPortForward<T>(
  world: World,
  target: string,
  port: number,
  work: (localPort: number) => Promise<T>,
): Promise<T> {
  const child: ChildProcess = spawn(world.kubectl.program, [
    ...['--kubeconfig', world.kubectl.kubeconfig, '-n', demo, 'port-forward', target, `:${port}`],
  ])
  try {
    let said = ''
    const local = await new Promise<number>((resolve, reject) => {
      child.stdout?.on('data', (chunk: Buffer) => {
        said += chunk
        const found = /127\.0\.0\.1:(\d+)/.exec(said)
        if (found) resolve(Number(found[1]))
      })
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk
      })
      child.once('exit', () => reject(new Error(`kubectl port-forward ended: ${said}`)))
    })
    return await work(local)
  } finally {
    child.kill()
    if (child.exitCode === null) await once(child, 'exit').catch(() => {})
  }
}

const seedEvent = {
  eventId: 'test-123',
  timestamp: 1_640_000_000,
  userId: 'user-456',
  value: 125.5,
  features: { feature1: 10.5, feature2: 20.3 },
}

export const installSteps: readonly Step<World>[] = [
  {
    name: 'helm install of the previous release: the operator is Ready',
    async run({ helm, kubectl, tags }, measure) {
      const began = performance.now()
      await kubectl(['create', 'namespace', demo])
      await helm([
        ...['install', 'anomaly-operator', previousRelease, '-n', system, '--create-namespace', '--wait'],
        ...['--set', `image.tag=${tags.first}`],
      ])
      measure('helm install to operator Ready', 30, (performance.now() - began) / 1000)
    },
  },
  {
    name: 'kubectl apply of a pipeline: Ready, and a verdict of its first event',
    async run(world, measure) {
      const { kubectl, brokers, kafka } = world
      const spec = {
        detection: { rules: [{ name: 'value-limit', field: 'value', above: '100' }] },
        api: { replicas: 2, resources: { requests: { cpu: '50m', memory: '128Mi' } } },
      }
      const began = performance.now()
      await kubectl.apply(pipelineDocument('payments', brokers, spec))
      const ready = untilReady(world, 'payments')
      // The consumer creates the topics.
      await secondsUntil(async () => {
        world.traffic = await openTraffic(kafka, topicsOf('payments'))
        await world.traffic.processed()
      })
      await world.traffic.burst(10)
      await secondsUntil(async () => {
        let verdicts = 0
        await readTopic(kafka, topicsOf('payments').results, ({ records }) => {
          verdicts += records.length
        })
        must(verdicts > 0, 'no verdict yet')
      })
      measure('pipeline applied to first verdict', 60, (performance.now() - began) / 1000)
      await ready
      await kubectl(['-n', demo, 'wait', '--for=condition=Ready', 'apl/payments', '--timeout=60s'])
    },
  },
  {
    name: 'traffic through Kafka: verdicts exact',
    async run({ traffic }) {
      await traffic.burst(20_000)
      const events = await traffic.expectExact()
      must(events >= 20_000, `only ${events} events`)
    },
  },
  {
    name: "kubectl port-forward to the API and the seed's curl",
    async run(world) {
      const answer = await withPortForward(world, 'svc/payments-api', 8080, async (port) => {
        const url = `http://127.0.0.1:${port}/api/v1/detect`
        const body = JSON.stringify(seedEvent)
        const { stdout } = await run('curl', [
          ...['-sS', '--fail-with-body', '-X', 'POST', url, '-H', 'Content-Type: application/json', '-d', body],
        ])
        return JSON.parse(stdout) as { isAnomaly: boolean; eventId: string; reasons: unknown[] }
      })
      must(answer.isAnomaly && answer.eventId === 'test-123' && answer.reasons.length > 0, JSON.stringify(answer))
      await world.traffic.expectExact()
    },
  },
]
