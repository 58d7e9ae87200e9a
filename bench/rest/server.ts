import { createServer } from 'node:http'
import express from 'express'
import { httpPart } from '../../lib/http-part.ts'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { run } from '../../workloads/local/run.ts'
import { verdictJson } from '../../workloads/wire/verdict-bytes.ts'

/**
 * Child process with one of the two servers that are compared, by its argument. Sends its port when it listens, and
 * answers any message with the CPU time that it has used, in microseconds.
 */
export type ServerKind = 'detect' | 'express'

process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send!(user + system)
})
if ((process.argv[2] as ServerKind) === 'detect') await detectServer()
else await expressServer()

/** A whole pipeline in one process, with the default detectors; events come in by REST only. */
async function detectServer(): Promise<void> {
  const pipeline = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'bench', namespace: 'default' },
    spec: { source: { brokers: ['localhost:9092'] } },
  })
  await run({
    pipeline,
    log: await createLogger({ level: 'warn' }),
    port: 0,
    probesPort: undefined,
    seed: 1,
    exitAtEnd: false,
    onStarted: ({ api }) => void process.send!(api),
  })
  process.disconnect()
}

/** What express does for everybody: parse the body, answer with an object; here a verdict of the same members. */
async function expressServer(): Promise<void> {
  const reason = { detector: 'profile', feature: 'feature3', observed: 61.2, expected: 49.8, contribution: 1 }
  const verdict = JSON.parse(
    verdictJson(
      {
        eventId: 'e',
        userId: 'u',
        timestamp: 0,
        isAnomaly: false,
        anomalyScore: 0.8471625331,
        threshold: 0.999,
        confidence: 0.75,
        modelVersion: '12',
        reasons: [reason],
        scores: { profile: 0.812345, forest: 0.712345 },
      },
      0.123456,
    ),
  )
  const app = express()
  app.use(express.json())
  app.post('/api/v1/detect', (request, response) => {
    const { eventId, userId, timestamp } = request.body
    response.json({ ...verdict, eventId, userId, timestamp: timestamp * 1000 })
  })
  const part = httpPart(createServer(app), { name: 'express', port: 0, host: '127.0.0.1' })
  await part.start!(new AbortController().signal)
  process.send!(part.port)
}
