import { once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** A request that a receiver got. */
export interface Received {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export interface TestReceiver {
  readonly url: string
  readonly received: readonly Received[]
  /** What it got, as CloudEvents. */
  events(): readonly { readonly id: string; readonly type: string; readonly data: Readonly<Record<string, unknown>> }[]
  close(): void
}

interface ReceiverOptions {
  /** PEM texts of its certificate; it speaks plain HTTP if absent. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
  /** Where it listens, this machine alone if absent. */
  readonly host?: string
}

/** Keeps what it is sent. @param answer ends the response, or leaves it hanging; taken with 200 if absent */
export async function startReceiver(
  answer: (response: ServerResponse, count: number) => void = (response) => response.end(),
  { tls, host = '127.0.0.1' }: ReceiverOptions = {},
): Promise<TestReceiver> {
  const received: Received[] = []
  const take: RequestListener = async (request, response) => {
    const { headers } = request
    received.push({ headers, body: await text(request) })
    answer(response, received.length)
  }
  const server = tls === undefined ? createServer(take) : createSecureServer(tls, take)
  await once(server.listen(0, host), 'listening')
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${host}:${(server.address() as AddressInfo).port}`,
    received,
    events: () => received.map(({ body }) => JSON.parse(body)),
    close: () => server.close().closeAllConnections(),
  }
}
