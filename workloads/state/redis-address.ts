import { createSecureContext } from 'node:tls'
import type { RedisOptions } from 'ioredis'
import { AppError, messageOf } from '../../lib/errors.ts'

/** PEM texts. Without `ca` the system's authorities are trusted. */
export interface RedisTls {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

export interface RedisAddress {
  readonly secure: boolean
  /** For people. */
  readonly place: string
  readonly server: Pick<RedisOptions, 'host' | 'port' | 'sentinels' | 'name' | 'db' | 'username' | 'password'>
}

/** Scheme, user, password, hosts with or without ports, path. */
const addressPattern =
  /^redis(?<secure>s?)(?<sentinel>\+sentinel)?:\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^@/?#]+)(?<path>\/[^?#]*)?$/

/** @throws AppError InvalidArgument, which does not repeat the address: it may hold a password */
export function redisAddressOf(text: string): RedisAddress {
  const refuse = (reason: string) =>
    new AppError(
      'InvalidArgument',
      `Cannot use the address of Redis: ${reason}; it looks like rediss://user:password@host:6379/0`,
    )
  const parts = addressPattern.exec(text)?.groups
  if (parts === undefined) throw refuse('it is not such a URL')
  const { user = '', password = '', hosts = '', path = '' } = parts
  const isSentinel = parts.sentinel !== undefined
  const nodes = hosts.split(',').map((node) => {
    const found = /^(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<host>[^:[\]]+))(?::(?<port>\d{1,5}))?$/.exec(node)?.groups
    if (found === undefined) throw refuse('its host is not a name or an address')
    return { host: (found.v6 ?? found.host)!, port: Number(found.port ?? (isSentinel ? 26379 : 6379)) }
  })
  if (nodes.length > 1 && !isSentinel) throw refuse('several hosts are for redis+sentinel://')
  const [name = '', ...rest] = isSentinel ? path.slice(1).split('/') : ['', ...path.slice(1).split('/')]
  if (isSentinel && name === '') throw refuse('redis+sentinel:// needs the name of the server as its path')
  const db = rest[0] === undefined || rest[0] === '' ? '0' : rest[0]
  if (rest.length > 1 || !/^\d{1,5}$/.test(db)) throw refuse('its path is not the number of a database')
  return {
    secure: parts.secure === 's',
    place: isSentinel ? `${name} of Sentinel ${hosts}` : `${nodes[0]!.host}:${nodes[0]!.port}`,
    server: {
      ...(isSentinel ? { sentinels: nodes, name } : nodes[0]!),
      db: Number(db),
      ...(user === '' ? {} : { username: decoded(user) }),
      ...(password === '' ? {} : { password: decoded(password) }),
    },
  }

  function decoded(part: string): string {
    try {
      return decodeURIComponent(part)
    } catch {
      throw refuse('its user or password has a % that begins no escape')
    }
  }
}

/** @throws AppError InvalidArgument */
export function redisTlsOf(
  secure: boolean,
  tls: RedisTls | undefined,
): Pick<RedisOptions, 'tls' | 'sentinelTLS' | 'enableTLSForSentinelMode'> {
  if (tls === undefined && !secure) return {}
  const pem = Object.fromEntries(Object.entries(tls ?? {}).filter(([, text]) => text !== undefined))
  try {
    createSecureContext(pem)
  } catch (cause) {
    throw new AppError('InvalidArgument', `Cannot use the certificates for Redis: ${messageOf(cause)}`, { cause })
  }
  return { tls: pem, sentinelTLS: pem, enableTLSForSentinelMode: true }
}
