import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { Guard } from './app.ts'
import { bearerOf, refuseToken } from './bearer-auth.ts'
import { setCaller } from './caller.ts'
import { problemOfError } from './problem.ts'
import { sendProblem } from './respond.ts'
import type { SignIn } from './sign-in.ts'

export interface OidcOptions {
  readonly issuer: string
  readonly clientId: string
  /** Of tokens that others ask for than the console. */
  readonly audiences?: readonly string[] | undefined
  readonly scopes?: readonly string[] | undefined
  /** Lets through what is known otherwise. */
  readonly isKnown?: ((token: string) => boolean) | undefined
}

export interface Oidc {
  readonly guard: Guard
  /** @throws AppError Unavailable where the issuer does not answer */
  signIn(): Promise<SignIn>
}

interface Discovered {
  readonly issuer: string
  readonly authorization_endpoint: string
  readonly token_endpoint: string
  readonly jwks_uri: string
}

const timeoutMs = 5000
const toleranceSeconds = 30
/** Signed with the issuer's private key; nothing that a shared secret, or nobody, signs. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

/** Tokens of an issuer of OpenID Connect, whose keys are looked up when they are first needed and when a new one appears. */
export function createOidc({ issuer, clientId, audiences = [], scopes = ['openid'], isKnown }: OidcOptions): Oidc {
  let found:
    | Promise<{ readonly document: Discovered; readonly keys: ReturnType<typeof createRemoteJWKSet> }>
    | undefined

  function issuerNow() {
    found ??= discover(issuer).then((document) => {
      return { document, keys: createRemoteJWKSet(new URL(document.jwks_uri), { timeoutDuration: timeoutMs }) }
    })
    found.catch(() => {
      found = undefined
    })
    return found
  }

  /** Whose the token is, or why it is refused. */
  async function readToken(token: string): Promise<{ readonly name: string } | { readonly problem: string }> {
    const { keys } = await issuerNow()
    try {
      const { payload } = await jwtVerify(token, keys, {
        ...{ issuer, audience: [clientId, ...audiences], algorithms },
        ...{ clockTolerance: toleranceSeconds, requiredClaims: ['exp', 'sub'] },
      })
      const { email, preferred_username, sub } = payload
      return { name: String(email ?? preferred_username ?? sub) }
    } catch (error) {
      if (isUnanswered(error)) throw unavailable(issuer, error)
      return { problem: 'The token is not one of the issuer for this API, or no longer' }
    }
  }

  return {
    guard(request, response, next) {
      const token = bearerOf(request)
      if (token === undefined) return refuseToken(request, response, undefined)
      if (isKnown?.(token) === true) return next()
      readToken(token).then(
        (read) => {
          if ('problem' in read) return refuseToken(request, response, read.problem)
          setCaller(request, read.name)
          next()
        },
        (error) => sendProblem(request, response, problemOfError(error)),
      )
    },
    async signIn() {
      const { document } = await issuerNow()
      return {
        authorizationEndpoint: document.authorization_endpoint,
        tokenEndpoint: document.token_endpoint,
        clientId,
        scopes,
      }
    },
  }
}

async function discover(issuer: string): Promise<Discovered> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) })
    if (!response.ok) throw new Error(`${url} answers ${response.status}`)
    const document = (await response.json()) as Discovered
    if (document.issuer !== issuer) throw new Error(`${url} speaks for ${JSON.stringify(document.issuer)}`)
    return document
  } catch (error) {
    throw unavailable(issuer, error)
  }
}

function isUnanswered(error: unknown): boolean {
  return (
    !(error instanceof errors.JOSEError) || error instanceof errors.JWKSTimeout || error.code === 'ERR_JOSE_GENERIC'
  )
}

function unavailable(issuer: string, cause: unknown): AppError {
  return new AppError('Unavailable', `The issuer ${issuer} does not answer: ${messageOf(cause)}`, { cause })
}
