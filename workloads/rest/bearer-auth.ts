import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Guard } from './app.ts'
import { sendRefusal } from './respond.ts'

/** RFC 6750: lets through requests with one of the current tokens. */
export function bearerAuth(tokens: () => readonly string[]): Guard {
  const isKnown = knownTokens(tokens)
  return (request, response, next) => {
    const token = bearerOf(request)
    if (token === undefined) refuseToken(request, response, undefined)
    else if (isKnown(token)) next()
    else refuseToken(request, response, 'The bearer token is not known')
  }
}

/** Digests are compared, all of them every time, so that the time of an answer says nothing about any token. */
export function knownTokens(tokens: () => readonly string[]): (token: string) => boolean {
  let known: readonly string[] = []
  let digests: readonly Buffer[] = []
  return (token) => {
    if (known !== tokens()) {
      known = tokens()
      digests = known.map(digest)
    }
    const given = digest(token)
    let isKnown = false
    for (const one of digests) isKnown = timingSafeEqual(one, given) || isKnown
    return isKnown
  }
}

export function bearerOf({ headers }: IncomingMessage): string | undefined {
  return /^Bearer +([\w~+/.-]+=*) *$/i.exec(headers.authorization ?? '')?.[1]
}

/** @param problem of the token; undefined where there is none */
export function refuseToken(request: IncomingMessage, response: ServerResponse, problem: string | undefined): void {
  const error = problem === undefined ? '' : ', error="invalid_token"'
  response.setHeader('WWW-Authenticate', `Bearer realm="anomaly"${error}`)
  sendRefusal(request, response, {
    reason: 'Unauthorized',
    message: problem ?? 'Authorization: Bearer <token> is required',
  })
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
