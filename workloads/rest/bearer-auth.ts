import { createHash, timingSafeEqual } from 'node:crypto'
import type { Guard } from './app.ts'
import { sendRefusal } from './respond.ts'

/**
 * RFC 6750: lets through requests with one of the current tokens. Digests are compared, all of them every time, so that the
 * time of an answer says nothing about any token.
 */
export function bearerAuth(tokens: () => readonly string[]): Guard {
  let known: readonly string[] = []
  let digests: readonly Buffer[] = []
  return (request, response, next) => {
    if (known !== tokens()) {
      known = tokens()
      digests = known.map(digest)
    }
    const token = /^Bearer +([\w~+/.-]+=*) *$/i.exec(request.headers.authorization ?? '')?.[1]
    if (token === undefined) {
      response.setHeader('WWW-Authenticate', 'Bearer realm="anomaly"')
      sendRefusal(request, response, { reason: 'Unauthorized', message: 'Authorization: Bearer <token> is required' })
      return
    }
    const given = digest(token)
    let isKnown = false
    for (const one of digests) isKnown = timingSafeEqual(one, given) || isKnown
    if (isKnown) return next()
    response.setHeader('WWW-Authenticate', 'Bearer realm="anomaly", error="invalid_token"')
    sendRefusal(request, response, { reason: 'Unauthorized', message: 'The bearer token is not known' })
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
