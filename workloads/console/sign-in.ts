import type { SignIn } from '../rest/sign-in.ts'

/** What is remembered while the browser is at the issuer; the token never is. */
interface Begun extends Pick<SignIn, 'tokenEndpoint' | 'clientId'> {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
  /** What was looked at. */
  readonly search: string
}

const entry = 'sign-in'
const redirectUri = () => `${location.origin}/`

/** How to sign in; undefined where the server takes tokens that somebody hands out. @throws where it cannot be said now */
export async function askSignIn(signal: AbortSignal): Promise<SignIn | undefined> {
  const response = await fetch('/app/sign-in.json', { signal })
  if (response.status === 404) return undefined
  if (!response.ok) throw new Error('The issuer of tokens does not answer the server. Try again later.')
  return (await response.json()) as SignIn
}

/** Leaves for the issuer: OpenID Connect's code flow with a proof key (RFC 7636). */
export async function beginSignIn({ authorizationEndpoint, tokenEndpoint, clientId, scopes }: SignIn): Promise<void> {
  const [state, nonce, verifier] = [random(), random(), random()]
  const begun: Begun = { tokenEndpoint, clientId, state, nonce, verifier, search: location.search }
  sessionStorage.setItem(entry, JSON.stringify(begun))
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  const url = new URL(authorizationEndpoint)
  const asked = {
    ...{ response_type: 'code', client_id: clientId, redirect_uri: redirectUri(), scope: scopes.join(' ') },
    ...{ state, nonce, code_challenge: base64Url(new Uint8Array(digest)), code_challenge_method: 'S256' },
  }
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value)
  location.assign(url)
}

/** The token, where the browser comes back from the issuer, and what was looked at is in the URL again. @throws where it was not granted */
export async function endSignIn(): Promise<string | undefined> {
  const given = new URLSearchParams(location.search)
  const kept = sessionStorage.getItem(entry)
  if (kept === null || !given.has('state')) return undefined
  sessionStorage.removeItem(entry)
  const begun = JSON.parse(kept) as Begun
  history.replaceState(null, '', `/${begun.search}`)
  if (given.get('state') !== begun.state) throw new Error('The answer of the issuer belongs to another page.')
  const code = given.get('code')
  if (code === null) throw new Error(given.get('error_description') ?? given.get('error') ?? 'The issuer gave no code.')
  const response = await fetch(begun.tokenEndpoint, {
    method: 'POST',
    body: new URLSearchParams({
      ...{ grant_type: 'authorization_code', code, redirect_uri: redirectUri() },
      ...{ client_id: begun.clientId, code_verifier: begun.verifier },
    }),
  })
  const { id_token: token } = (await response.json()) as { readonly id_token?: string }
  if (token === undefined) throw new Error('The issuer gave no token for its code.')
  if (nonceOf(token) !== begun.nonce) throw new Error('The token was issued for another page.')
  return token
}

/** The server checks the rest. */
function nonceOf(token: string): unknown {
  const payload = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')
  const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0))
  return (JSON.parse(new TextDecoder().decode(bytes)) as { readonly nonce?: unknown }).nonce
}

function random(): string {
  return base64Url(crypto.getRandomValues(new Uint8Array(32)))
}

function base64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}
