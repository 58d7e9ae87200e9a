import { createSecureContext } from 'node:tls'
import { AppError, messageOf } from '../../lib/errors.ts'

/** PEM texts. Without `ca` the system's authorities are trusted. */
export interface PostgresTls {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

export interface PostgresAddress {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  /** With TLS, what the client needs; the server's certificate is always verified. */
  readonly tls: PostgresTls | undefined
  /** For people. */
  readonly place: string
}

/** What libpq calls an encrypted connection; here every one of these verifies the server. */
const secured = new Set(['require', 'verify-ca', 'verify-full'])
const unsecured = new Set(['disable', 'allow', 'prefer'])

/**
 * @param tls asked for beside the address, if only as {}
 * @throws AppError InvalidArgument, which does not repeat the address: it may hold a password
 */
export function postgresAddressOf(text: string, tls: PostgresTls | undefined): PostgresAddress {
  const refuse = (reason: string) =>
    new AppError(
      'InvalidArgument',
      `Cannot use the address of PostgreSQL: ${reason}; it looks like postgresql://user:password@host:5432/database`,
    )
  if (!/^postgres(ql)?:\/\//.test(text)) throw refuse('it does not begin with postgresql://')
  if (/^[^/]*\/\/[^/]*,/.test(text)) throw refuse('it names several hosts; name the one that is the primary')
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw refuse('it is not such a URL')
  }
  const decoded = (part: string): string => {
    try {
      return decodeURIComponent(part)
    } catch {
      throw refuse('it has a % that begins no escape')
    }
  }
  const host = url.hostname.replace(/^\[(.+)\]$/, '$1')
  const user = decoded(url.username)
  const database = decoded(url.pathname.slice(1))
  if (host === '') throw refuse('it has no host')
  if (user === '') throw refuse('it has no user')
  if (database === '' || database.includes('/')) throw refuse('its path is not the name of a database')
  const mode = url.searchParams.get('sslmode')
  if (mode !== null && !secured.has(mode) && !unsecured.has(mode))
    throw refuse(`its sslmode is none of ${[...unsecured, ...secured].join(', ')}`)
  const isSecured = tls !== undefined || (mode !== null && secured.has(mode))
  const port = url.port === '' ? 5432 : Number(url.port)
  return {
    ...{ host, port, user, password: decoded(url.password), database },
    tls: isSecured ? pemOf(tls ?? {}) : undefined,
    place: `${database} at ${url.host.includes(':') ? url.host : `${url.host}:${port}`}`,
  }
}

function pemOf(tls: PostgresTls): PostgresTls {
  const pem = Object.fromEntries(Object.entries(tls).filter(([, text]) => text !== undefined))
  try {
    createSecureContext(pem)
  } catch (cause) {
    throw new AppError('InvalidArgument', `Cannot use the certificates for PostgreSQL: ${messageOf(cause)}`, { cause })
  }
  return pem
}
