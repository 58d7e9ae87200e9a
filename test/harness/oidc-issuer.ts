import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Provider, { type Configuration } from 'oidc-provider'

export interface OidcIssuer {
  readonly issuer: string
  /** Lets the client's pages come back to this address. */
  allow(redirectUri: string): void
  stop(): Promise<void>
}

export const clientId = 'console'

/** An issuer of OpenID Connect that signs in whoever gives a name. */
export async function startOidcIssuer(): Promise<OidcIssuer> {
  const redirectUris: string[] = ['http://localhost/']
  const server = createServer((request, response) => provider.callback()(request, response))
  await new Promise<void>((resolve) => server.listen(0, resolve))
  const issuer = `http://localhost:${(server.address() as AddressInfo).port}`
  const configuration: Configuration = {
    clients: [
      {
        client_id: clientId,
        token_endpoint_auth_method: 'none',
        redirect_uris: redirectUris,
        grant_types: ['authorization_code'],
        response_types: ['code'],
      },
    ],
    clientBasedCORS: () => true,
    cookies: { keys: ['for tests only'] },
  }
  let provider = new Provider(issuer, configuration)
  return {
    issuer,
    allow(redirectUri) {
      redirectUris.push(redirectUri)
      provider = new Provider(issuer, configuration)
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
