import { expect } from 'chai'
import { postgresAddressOf } from './postgres-address.ts'

describe('The address of PostgreSQL', () => {
  it('is read with escapes, a default port and IPv6', () => {
    expect(postgresAddressOf('postgresql://me:p%40ss%2F@db.shop.svc/history', undefined)).to.deep.equal({
      ...{ host: 'db.shop.svc', port: 5432, user: 'me', password: 'p@ss/', database: 'history', tls: undefined },
      place: 'history at db.shop.svc:5432',
    })
    const { host, port, place } = postgresAddressOf('postgres://me@[::1]:6432/history', undefined)
    expect({ host, port, place }).to.deep.equal({ host: '::1', port: 6432, place: 'history at [::1]:6432' })
  })

  it('asks for TLS by sslmode or beside it, and then always verifies', () => {
    const tlsOf = (mode: string, tls?: object) => postgresAddressOf(`postgresql://me@db/history${mode}`, tls).tls
    expect(['', '?sslmode=disable', '?sslmode=prefer'].map((mode) => tlsOf(mode))).to.deep.equal([
      undefined,
      undefined,
      undefined,
    ])
    expect(
      ['?sslmode=require', '?sslmode=verify-full&channel_binding=require'].map((mode) => tlsOf(mode)),
    ).to.deep.equal([{}, {}])
    expect(tlsOf('?sslmode=disable', {})).to.deep.equal({})
  })

  const refusals: readonly (readonly [string, string, RegExp])[] = [
    ['another protocol', 'mysql://me@db/history', /does not begin with postgresql:/],
    ['several hosts', 'postgresql://me@one:5432,two:5432/history', /several hosts/],
    ['no host', 'postgresql://me@/history', /not such a URL|no host/],
    ['no user', 'postgresql://db/history', /no user/],
    ['no database', 'postgresql://me@db', /not the name of a database/],
    ['an escape that is none', 'postgresql://me:s3cret%zz@db/history', /% that begins no escape/],
    ['a port that is none', 'postgresql://me:s3cret@db:99999/history', /not such a URL/],
    ['TLS without verification', 'postgresql://me@db/history?sslmode=no-verify', /sslmode is none of/],
  ]
  for (const [what, url, message] of refusals)
    it(`is refused with ${what}, and not repeated`, () => {
      expect(() => postgresAddressOf(url, undefined))
        .to.throw(message)
        .with.property('message')
        .that.does.not.contain('s3cret')
    })

  it('is refused with certificates of no use', () => {
    expect(() => postgresAddressOf('postgresql://me@db/history', { ca: 'x', cert: 'no', key: 'no' })).to.throw(
      /Cannot use the certificates for PostgreSQL/,
    )
  })
})
