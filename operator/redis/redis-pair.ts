/** Which pod of a pair takes the writes, as the cluster has it. */
export interface RedisRecord {
  readonly primary: string
  /** The other has what it has, and it writes only while that is so: the other may take over. */
  readonly inSync: boolean
}

/** What a server says of itself. */
export interface RedisInfo {
  readonly role: 'master' | 'slave'
  readonly isLoading: boolean
  /** Of a replica: whom it follows, `host:port`, and whether it has just heard from there. */
  readonly follows: string
  readonly isLinked: boolean
  /** Of a primary: whether a replica has just confirmed what it has. */
  readonly isFollowed: boolean
  /** How many replicas it insists on for a write. */
  readonly minReplicas: number
  readonly keys: number
}

export interface SeenServer {
  readonly pod: string
  /** `host:port`, where the pod has an address. */
  readonly address?: string | undefined
  /** Absent where it does not answer. */
  readonly info?: RedisInfo | undefined
}

export interface Order {
  readonly pod: string
  readonly commands: readonly (readonly string[])[]
}

export interface Decision {
  readonly record: RedisRecord
  readonly orders: readonly Order[]
}

export interface PairInput {
  readonly record: RedisRecord
  readonly servers: readonly [SeenServer, SeenServer]
  /** For how long the primary has not answered, and the other not heard from it. */
  readonly apartMs: number
  /** The pod that is to be the only one. */
  readonly home?: string | undefined
}

/** A primary whose replica has confirmed nothing for so long takes no writes. */
export const fenceSeconds = 5
/** Then it is certain that it takes none: the other may. */
const takeOverMs = (fenceSeconds + 2) * 1000
/** So long a replica that has all is waited for, where the primary has started again. */
const missingMs = 30_000
/** Whom a server follows that nobody has told anything. */
export const nobody = '127.0.0.1:1'

const unguarded = (primary: string): RedisRecord => ({ primary, inSync: false })
const lead = ({ pod }: SeenServer): Order => ({
  pod,
  commands: [
    ['CONFIG', 'SET', 'min-replicas-to-write', '0'],
    ['REPLICAOF', 'NO', 'ONE'],
  ],
})
const insistOn = ({ pod }: SeenServer, replicas: 0 | 1): Order => ({
  pod,
  commands: [['CONFIG', 'SET', 'min-replicas-to-write', String(replicas)]],
})

/**
 * The next step for a pair of servers: values in, values out. Every server starts as a replica of nobody, which takes no
 * writes, and leads only when it is told to. No two take writes at once: the record says that the replica may take over
 * only while the primary insists on its confirmation, and it is changed before the primary may do without.
 */
export function decideOfPair({ record, servers, apartMs, home }: PairInput): Decision {
  const primary = servers.find(({ pod }) => pod === record.primary)
  const other = servers.find(({ pod }) => pod !== record.primary)!
  const stay: Decision = { record, orders: [] }
  if (primary === undefined) return stay
  const takeOver: Decision = { record: unguarded(other.pod), orders: [lead(other)] }

  // It was told to lead, and that was not written down any more.
  if (primary.info?.role !== 'master' && other.info?.role === 'master') return { ...takeOver, orders: [] }
  if (primary.info === undefined) {
    const mayLead = record.inSync && other.info !== undefined && !other.info.isLoading && !other.info.isLinked
    return mayLead && apartMs >= takeOverMs ? takeOver : stay
  }
  if (primary.info.role === 'slave') return afterRestart(primary, other, { record, apartMs, takeOver })
  return guarded(primary, other, record, home)
}

/** The primary started again, and waits: what it wrote last may not have come to its disk, and the other has all. */
function afterRestart(
  primary: SeenServer,
  other: SeenServer,
  { record, apartMs, takeOver }: Pick<PairInput, 'record' | 'apartMs'> & { readonly takeOver: Decision },
): Decision {
  const { isLoading, keys } = primary.info!
  if (isLoading) return { record, orders: [] }
  if (!record.inSync) return { record, orders: [lead(primary)] }
  if (other.info === undefined ? apartMs < missingMs : other.info.isLoading) return { record, orders: [] }
  const startedToo = other.info?.follows === nobody
  const hasMore = other.info !== undefined && (startedToo ? keys === 0 && other.info.keys > 0 : true)
  return hasMore ? takeOver : { record: unguarded(record.primary), orders: [] }
}

/** The primary leads: the other follows, and the record says whether it has all. */
function guarded(primary: SeenServer, other: SeenServer, record: RedisRecord, home: string | undefined): Decision {
  const { isFollowed, minReplicas } = primary.info!
  const isAstray = other.info !== undefined && (other.info.role === 'master' || other.info.follows !== primary.address)
  if (isAstray || !isFollowed) {
    const follow: readonly Order[] = isAstray ? [followed(other.pod, primary.address!)] : []
    if (record.inSync) return { record: unguarded(record.primary), orders: follow }
    return { record, orders: minReplicas > 0 ? [...follow, insistOn(primary, 0)] : follow }
  }
  if (minReplicas !== 1) return { record, orders: [insistOn(primary, 1)] }
  if (!record.inSync) return { record: { ...record, inSync: true }, orders: [] }
  const isHome = home === undefined || home === primary.pod
  const handOver: Order = { pod: primary.pod, commands: [['FAILOVER', 'TIMEOUT', '5000']] }
  return { record, orders: isHome ? [] : [handOver] }
}

/** Whoever is still connected to it for writing finds the way to the primary by connecting again. */
function followed(pod: string, address: string): Order {
  const at = address.lastIndexOf(':')
  return {
    pod,
    commands: [
      ['REPLICAOF', address.slice(0, at), address.slice(at + 1)],
      ['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'],
    ],
  }
}
