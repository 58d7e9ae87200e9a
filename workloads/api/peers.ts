import { lookup } from 'node:dns/promises'
import { AppError } from '../../lib/errors.ts'
import { type AskPod, createPodClient } from '../../lib/pod-client.ts'

/** The processes of the pipeline, by role: where their probes answer. A name may stand for many addresses. */
export interface Peer {
  readonly role: PeerRole
  readonly host: string
  readonly port: number
}

export const peerRoles = ['consumer', 'inference', 'api', 'recorder'] as const
export type PeerRole = (typeof peerRoles)[number]

/** What a process says of itself on /status; JSON. */
export interface PeerStatus {
  readonly role: PeerRole
  readonly status: unknown
}

export interface PeersOptions {
  readonly clock: () => number
  readonly ask?: AskPod | undefined
  /** The addresses of a name; none where there is no such name. */
  readonly addressesOf?: ((host: string) => Promise<readonly string[]>) | undefined
}

/** Processes of a role that are asked: of a thousand a few tell how it is. */
const mostAsked = 20
/** However many look, the others are asked no more often. */
const freshMs = 1000

/** Asks the pipeline's processes how they are, only when somebody wants to know. Who does not answer is left out. */
export function createPeers(peers: readonly Peer[], options: PeersOptions): () => Promise<readonly PeerStatus[]> {
  const { clock, ask = createPodClient({ timeoutMs: 1500 }), addressesOf = addresses } = options
  let last: { readonly at: number; readonly statuses: Promise<readonly PeerStatus[]> } | undefined

  async function askAll(): Promise<readonly PeerStatus[]> {
    const found = await Promise.all(
      peers.map(async ({ role, host, port }) => {
        const urls = (await addressesOf(host)).slice(0, mostAsked).map((address) => urlOf(address, port))
        const answers = await Promise.allSettled(urls.map(async (url) => JSON.parse(await ask(url)) as unknown))
        return answers.flatMap((one) => (one.status === 'fulfilled' ? [{ role, status: one.value }] : []))
      }),
    )
    return found.flat()
  }

  return () => {
    if (last === undefined || clock() - last.at >= freshMs) last = { at: clock(), statuses: askAll() }
    return last.statuses
  }
}

async function addresses(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true }).catch(() => [])
  return found.map(({ address }) => address)
}

const urlOf = (address: string, port: number): string =>
  `http://${address.includes(':') ? `[${address}]` : address}:${port}/status`

/** @throws AppError InvalidArgument */
export function parsePeer(text: string): Peer {
  const match = /^([a-z]+)=([^:=]+|\[[0-9a-fA-F:]+\]):(\d{1,5})$/.exec(text)
  const role = peerRoles.find((one) => one === match?.[1])
  if (match === null || role === undefined || Number(match[3]) > 65_535)
    throw new AppError(
      'InvalidArgument',
      `--peer ${text}: it must be ROLE=HOST:PORT; roles are ${peerRoles.join(', ')}`,
    )
  return { role, host: match[2]!.replace(/^\[|\]$/g, ''), port: Number(match[3]) }
}
