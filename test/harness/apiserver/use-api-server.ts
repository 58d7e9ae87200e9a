import { binary } from '../../../tools/servers/binaries/binaries.ts'
import { type ApiServer, type ApiServerOptions, startApiServer } from './api-server.ts'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'

export interface Cluster {
  readonly server: ApiServer
  /** In front of the server; without faults again, and its count at zero, at the beginning of each test. */
  readonly proxy: FaultProxy
}

const managers = ['kube-controller-manager'] as const

/**
 * Gives the enclosing `describe` an API server of its own with a proxy in front. The first run on a machine builds the
 * programs, which takes minutes. SKIP_INTEGRATION=1 leaves the tests out.
 */
export function useApiServer(options: ApiServerOptions = {}): Cluster {
  let server: ApiServer | undefined
  let proxy: FaultProxy | undefined

  before('start an API server', async function () {
    if (process.env.SKIP_INTEGRATION === '1') this.skip()
    this.timeout(0)
    await Promise.all((['etcd', 'kube-apiserver', ...(options.controllerManager ? managers : [])] as const).map(binary))
    server = await startApiServer(options)
    proxy = await startFaultProxy(server)
  })
  beforeEach(() => proxy?.reset())
  after('stop the API server', async () => {
    await proxy?.stop()
    await server?.stop()
  })
  return {
    get server() {
      return server!
    },
    get proxy() {
      return proxy!
    },
  }
}
