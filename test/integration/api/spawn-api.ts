import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Pipeline } from '../../../lib/pipeline/spec.ts'
import {
  freePorts,
  removeFolder,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../../../tools/servers/server.ts'
import { clientOf, type ServedApi } from './serve-api.ts'

/** The signing key of spawned replicas, as `signingKey` is that of those in this process. */
const keyText = 'the signing key of all tests'

export interface SpawnedApi extends Omit<ServedApi, 'stop'>, Pick<ServerProcess, 'kill'> {
  /** Starts it again on the same ports. */
  start(): Promise<void>
  close(): Promise<void>
}

/** An API replica as a process of its own, ready to answer. */
export async function spawnApi(
  { apiVersion, kind, metadata, spec }: Pipeline,
  servers: { readonly redisUrl: string; readonly inference: string },
): Promise<SpawnedApi> {
  const folder = temporaryFolder('api')
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const [port, probesPort] = (await freePorts(2)) as [number, number]
  const args = [
    join(import.meta.dirname, '../../../bin/anomaly.ts'),
    ...['api', '-f', file('pipeline.yaml', JSON.stringify({ apiVersion, kind, metadata, spec }))],
    ...['--port', String(port), '--probes-port', String(probesPort), '--inference', servers.inference],
    ...['--redis-url', servers.redisUrl, '--signing-key-file', file('key', keyText), '--drain-seconds', '0'],
  ]
  const client = clientOf(port, probesPort)
  const ready = async () => (await client.probe('/readyz')).status === 200
  const start = () => startServer(process.execPath, args, { log: join(folder, 'api.log'), ready })
  let server = await start()
  return {
    ...client,
    async start() {
      server = await start()
    },
    kill: () => server.kill(),
    async close() {
      await server.kill()
      removeFolder(folder)
    },
  }
}
