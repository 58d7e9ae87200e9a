import { once } from 'node:events'
import { connect } from 'node:net'

/**
 * Child process that posts events to /api/v1/detect over keep-alive connections, each sending its next request when it
 * has its answer. It writes and reads HTTP on bare sockets: node:http as a client costs more than the servers that are
 * to be measured. Takes a `LoadOrder` as a message and answers with a `LoadReport`.
 */
export interface LoadOrder {
  readonly port: number
  readonly connections: number
  readonly seconds: number
  /** Events of a request, sent as one batch; absent: one event alone. */
  readonly batch?: number | undefined
}

export interface LoadReport {
  readonly requests: number
  readonly requestsPerSecond: number
  /** Milliseconds from a request sent to its answer read, at the 50th, 95th and 99th percentile. */
  readonly latency: readonly [p50: number, p95: number, p99: number]
  /** Share of one core that this process used. Near 1 the figures would be those of the client. */
  readonly cpuShare: number
}

const keys = 10_000
let sent = 0

/** An event in the shape of the seed's, of 8 features, under an id that was never sent before. */
function nextEvent(): { readonly id: string; readonly json: string } {
  const i = sent++
  const id = `${process.pid}-${i}`
  const features = Array.from({ length: 8 }, (_, j) => `"feature${j}":${((i * (j + 7)) % 997) / 10}`).join(',')
  const json = `{"eventId":"${id}","timestamp":${1640000000 + (i >> 6)},"userId":"user-${(i * 7919) % keys}","value":${(i % 991) / 10},"features":{${features}}}`
  return { id, json }
}

/** A request, and the id of its last event, which is in no other answer. */
function nextRequest(batch: number | undefined): { readonly id: string; readonly text: string } {
  const events = Array.from({ length: batch ?? 1 }, nextEvent)
  const body = batch === undefined ? events[0]!.json : `[${events.map(({ json }) => json).join(',')}]`
  const path = batch === undefined ? '/api/v1/detect' : '/api/v1/detect/batch'
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`
  return { id: events.at(-1)!.id, text: `${head}\r\n\r\n${body}` }
}

async function keepBusy({ port, batch }: LoadOrder, until: number, latencies: number[]): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  socket.setNoDelay(true)
  await once(socket, 'connect')
  let id = ''
  let start = 0
  let heard = ''
  const next = () => {
    const request = nextRequest(batch)
    id = request.id
    heard = ''
    start = performance.now()
    socket.write(request.text, 'latin1')
  }
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    heard += chunk
    const head = heard.indexOf('\r\n\r\n')
    if (head === -1) return
    const length = Number(/content-length: (\d+)/i.exec(heard)?.[1])
    if (heard.length < head + 4 + length) return
    if (!heard.startsWith('HTTP/1.1 200') || !heard.includes(`"${id}"`))
      throw new Error(`Cannot use this run: the answer to ${id} is ${heard.slice(0, 500)}`)
    const now = performance.now()
    latencies.push(now - start)
    if (now < until) next()
    else socket.end()
  })
  next()
  await once(socket, 'close')
}

process.on('message', async (order: LoadOrder) => {
  const { connections, seconds } = order
  const latencies: number[] = []
  const cpu = process.cpuUsage()
  const start = performance.now()
  await Promise.all(Array.from({ length: connections }, () => keepBusy(order, start + seconds * 1000, latencies)))
  const milliseconds = performance.now() - start
  const used = process.cpuUsage(cpu)
  latencies.sort((a, b) => a - b)
  const at = (share: number) => latencies[Math.floor(share * latencies.length)]!
  const report: LoadReport = {
    requests: latencies.length,
    requestsPerSecond: (latencies.length / milliseconds) * 1000,
    latency: [at(0.5), at(0.95), at(0.99)],
    cpuShare: (used.user + used.system) / 1000 / milliseconds,
  }
  process.send!(report)
})
