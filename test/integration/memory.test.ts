import { readFileSync, writeFileSync } from 'node:fs'
import { type ClientHttp2Stream, connect } from 'node:http2'
import { connect as connectSocket, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'chai'
import {
  freePorts,
  removeFolder,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../../tools/servers/server.ts'
import { ScoringServiceService } from '../../workloads/gen/anomaly/v1/scoring.ts'
import { AnomalyDetectionServiceService } from '../../workloads/gen/anomaly_detection.ts'
import { pipelineOf } from './api/serve-api.ts'

const skipped = process.env.SKIP_INTEGRATION === '1'
const mebi = 2 ** 20
const scoreRows = ScoringServiceService.scoreRows.path
const detectBatch = AnomalyDetectionServiceService.detectAnomalyBatch.path

/** Kafka and Redis are not there: what is bounded comes before them. */
const { apiVersion, kind, metadata, spec } = pipelineOf('memory', ['127.0.0.1:1'], {
  api: { publishEvents: 'Disabled' },
})

interface Role extends ServerProcess {
  readonly port: number
  /** The most bytes that were resident. */
  memory(): number
}

/** A role as a process of its own, with the heap that Node.js gives itself in its pod: half of the limit. */
async function startRole(role: 'api' | 'inference', folder: string, heapMebibytes: number): Promise<Role> {
  const [port, probesPort] = (await freePorts(2)) as [number, number]
  const file = join(folder, `${role}.json`)
  writeFileSync(file, JSON.stringify({ apiVersion, kind, metadata, spec }))
  const args = [
    ...[join(import.meta.dirname, '../../bin/anomaly.ts'), role, '-f', file, '--redis-url', 'redis://127.0.0.1:1'],
    ...['--port', String(port), '--probes-port', String(probesPort), '--drain-seconds', '0'],
  ]
  const server = await startServer(process.execPath, [`--max-old-space-size=${heapMebibytes}`, ...args], {
    log: join(folder, `${role}.log`),
    ready: async () => (await fetch(`http://127.0.0.1:${probesPort}/livez`)).ok && (await listens(port)),
  })
  const peak = () => Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1])
  return { ...server, port, memory: () => 1024 * peak() }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1', () => resolve(true))
    socket.on('error', () => resolve(false)).on('connect', () => socket.destroy())
  })
}

/** Resolves when the system has taken what was written, or the other side wants no more of it. */
function sent(stream: Socket | ClientHttp2Stream, ...parts: readonly (Buffer | string)[]): Promise<void> {
  return new Promise((resolve) => {
    stream.once('error', () => resolve()).once('close', () => resolve())
    for (const [i, part] of parts.entries()) stream.write(part, i === parts.length - 1 ? () => resolve() : undefined)
  })
}

const batchHead = 'POST /api/v1/detect/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n'
const junk = `{"userId":"u","note":[${'[],'.repeat(13_000)}0]}\n`.repeat(200)

/** What 80 callers send to the API. */
const bodies: Readonly<Record<string, readonly (Buffer | string)[]>> = {
  'bodies of 8 MiB that are never finished': [
    `${batchHead}Content-Length: ${8 * mebi}\r\n\r\n`,
    Buffer.alloc(8 * mebi - 1, ' '),
  ],
  'bodies a byte at a time': [`${batchHead}Transfer-Encoding: chunked\r\n\r\n`, '1\r\n \r\n'.repeat(30_000)],
  'bodies of many values': [`${batchHead}Content-Length: ${junk.length}\r\n\r\n`, junk],
}

/** What 60 callers send to inference: a message that is announced, and what comes of it. */
const messages: Readonly<Record<string, { readonly path: string; readonly length: number; readonly chunks: number }>> =
  {
    'messages of 15 MiB that are never finished': { path: scoreRows, length: 15 * mebi, chunks: 1 },
    'streams whose message is never finished': { path: detectBatch, length: 256 * 1024, chunks: 1 },
    'messages a byte at a time': { path: scoreRows, length: 15 * mebi, chunks: 40_000 },
  }

;(skipped ? describe.skip : describe)('Memory of a role that is sent too much', function () {
  this.timeout(180_000)
  const folder = temporaryFolder('memory')
  after(() => removeFolder(folder))

  for (const [what, parts] of Object.entries(bodies))
    it(`api stays within its limit: ${what}`, async () => {
      const api = await startRole('api', folder, 384)
      const before = api.memory()
      const sockets = Array.from({ length: 80 }, () => connectSocket(api.port, '127.0.0.1').on('error', () => {}))
      await Promise.all(sockets.map((socket) => sent(socket.resume(), ...parts)))
      expect((await fetch(`http://127.0.0.1:${api.port}/api/v1/health`)).status).to.be.oneOf([200, 503])
      report(what, before, api.memory())
      expect(api.memory()).to.be.below(768 * mebi)
      for (const socket of sockets) socket.destroy()
      await api.kill()
    })

  for (const [what, { path, length, chunks }] of Object.entries(messages))
    it(`inference stays within three times its budget: ${what}`, async () => {
      const inference = await startRole('inference', folder, 512)
      const before = inference.memory()
      const head = Buffer.alloc(5)
      head.writeUInt32BE(length, 1)
      const parts = chunks === 1 ? [Buffer.alloc(length - 1)] : Array.from({ length: chunks }, () => Buffer.alloc(1))
      const sessions = Array.from({ length: 60 }, () =>
        connect(`http://127.0.0.1:${inference.port}`).on('error', () => {}),
      )
      const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' }
      const calls = sessions.map((session) => session.request(headers).resume())
      // What the server does not read stays with its caller.
      await Promise.race([Promise.all(calls.map((call) => sent(call, head, ...parts))), delay(20_000)])
      report(what, before, inference.memory())
      expect(inference.memory() - before).to.be.below(192 * mebi)
      for (const session of sessions) session.destroy()
      await inference.kill()
    })
})

function report(what: string, before: number, peak: number): void {
  if (process.env.VERBOSE === '1')
    process.stderr.write(`${what}: ${Math.round(before / mebi)} -> ${Math.round(peak / mebi)} MiB\n`)
}
