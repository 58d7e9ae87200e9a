import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** PEM texts: an authority, and a client's certificate and PKCS #8 key that it signed. */
export interface ClientTls {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export interface Certificates {
  readonly folder: string
  /** File with the authority. */
  readonly caFile: string
  /** Files of the server for 127.0.0.1 and localhost. */
  readonly serverCertFile: string
  readonly serverKeyFile: string
  readonly client: ClientTls
}

/** An authority with a server's and a client's certificate, in `folder`, valid for two days. */
export function makeCertificates(folder: string): Certificates {
  const path = (name: string): string => join(folder, name)
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe', cwd: folder })
  openssl(
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=anomaly test authority'],
    ...['-keyout', 'ca.key', '-out', 'ca.crt'],
  )
  for (const [name, extension] of [
    ['server', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
    ['client', 'extendedKeyUsage=clientAuth'],
  ] as const) {
    openssl(
      ...['req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`],
      ...['-keyout', `${name}.key`, '-out', `${name}.csr`],
    )
    writeFileSync(path(`${name}.ext`), extension)
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.crt`],
    )
  }
  const read = (name: string): string => readFileSync(path(name), 'utf8')
  return {
    folder,
    caFile: path('ca.crt'),
    serverCertFile: path('server.crt'),
    serverKeyFile: path('server.key'),
    client: { ca: read('ca.crt'), cert: read('client.crt'), key: read('client.key') },
  }
}
