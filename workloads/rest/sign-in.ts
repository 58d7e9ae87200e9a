/** Where a browser signs in, and as which client. */
export interface SignIn {
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly clientId: string
  readonly scopes: readonly string[]
}
