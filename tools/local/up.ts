import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { inRunFolder, pidFile, runFolder, runningStack, type Stack, stackFile } from './run-folder.ts'

/** `make up`: starts the stack unless it runs, waits until everything answers and says what to try next. */

const timeoutMs = 600_000

async function start(): Promise<void> {
  rmSync(runFolder, { recursive: true, force: true })
  mkdirSync(runFolder, { recursive: true })
  const log = inRunFolder('stack.log')
  const output = openSync(log, 'a')
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'stack.ts')],
    {
      detached: true,
      stdio: ['ignore', output, output],
    },
  )
  closeSync(output)
  writeFileSync(pidFile, String(child.pid))
  child.unref()
}

if (runningStack() === undefined) {
  process.stdout.write('Starting Kafka, Redis, inference, consumer and API; the first time this fetches Kafka.\n')
  await start()
} else process.stdout.write('It runs already.\n')

const deadline = Date.now() + timeoutMs
while (!existsSync(stackFile)) {
  if (runningStack() === undefined || Date.now() > deadline) {
    process.stderr.write(
      `Cannot start; the end of .run/stack.log:\n${readFileSync(inRunFolder('stack.log'), 'utf8').slice(-2000)}\n`,
    )
    process.exit(1)
  }
  await delay(200)
}
const { broker, redisUrl, apiPort, consumerProbes, inferenceProbes } = JSON.parse(
  readFileSync(stackFile, 'utf8'),
) as Stack
process.stdout.write(`
Running, with the pipeline .run/payments.yaml; logs are in .run/
  Console    http://localhost:${apiPort}/
  API        http://localhost:${apiPort}/api/v1
  Kafka      ${broker}
  Redis      ${redisUrl}
  consumer   http://localhost:${consumerProbes}/status
  inference  http://localhost:${inferenceProbes}/status

Feed it with ${'20,000'} simulated payments:
  bin/anomaly replay --brokers ${broker} --topic payments --results payments-verdicts --input .run/payments.jsonl --rate 2000

Watch the alerts as they come, in another terminal:
  bin/anomaly watch -f .run/payments.yaml --alerts

Ask about one:
  curl -X POST localhost:${apiPort}/api/v1/detect -H 'Content-Type: application/json' -d '{"eventId":"test-123","timestamp":${Math.floor(Date.now() / 1000)},"userId":"user-7","value":125.5,"features":{"distanceKm":3.1,"merchantRisk":0.12}}'

Read the verdict again, and all of the topic:
  curl localhost:${apiPort}/api/v1/results/test-123
  bin/anomaly watch -f .run/payments.yaml --from-beginning

End it:
  make down
`)
