import { execFile, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface KubeResource {
  readonly metadata: {
    readonly name: string
    readonly uid: string
    readonly generation?: number
    readonly resourceVersion: string
    readonly deletionTimestamp?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  // biome-ignore lint/suspicious/noExplicitAny: an object of the cluster has whatever shape its kind has
  readonly spec: any
  // biome-ignore lint/suspicious/noExplicitAny: see spec
  readonly status?: any
}

/** A watch of one value of objects, as it changes. */
export interface Watch {
  readonly seen: readonly string[]
  stop(): void
}

export interface Kubectl {
  readonly program: string
  readonly kubeconfig: string
  /** Runs kubectl and gives what it printed; throws with what it printed on standard error. */
  (args: readonly string[], options?: { readonly input?: string; readonly timeoutMs?: number }): Promise<string>
  get(kind: string, name: string, namespace?: string): Promise<KubeResource>
  /** undefined where there is none. */
  find(kind: string, name: string, namespace?: string): Promise<KubeResource | undefined>
  list(kind: string, namespace: string, selector?: string): Promise<KubeResource[]>
  /** Server-side apply of documents. */
  apply(documents: string | object): Promise<void>
  patch(kind: string, name: string, namespace: string, change: object): Promise<void>
  /** The values of a jsonpath from now on, one each time an object changes. `which`: a name, or a selector of labels. */
  watch(kind: string, which: string | { readonly selector: string }, namespace: string, jsonpath: string): Watch
}

export function createKubectl(program: string, kubeconfig: string): Kubectl {
  const kubectl = (async (args, { input, timeoutMs = 120_000 } = {}) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const child = execFile(
      program,
      ['--kubeconfig', kubeconfig, ...args],
      { maxBuffer: 1 << 26, timeout: timeoutMs },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout)
        else reject(new Error(`kubectl ${args.join(' ').slice(0, 200)}: ${stderr.trim() || error.message}`))
      },
    )
    // It may end without having read it.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input ?? '')
    return await promise
  }) as Kubectl
  const inNamespace = (namespace: string | undefined): string[] => (namespace === undefined ? [] : ['-n', namespace])
  return Object.assign(kubectl, {
    program,
    kubeconfig,
    async get(kind: string, name: string, namespace?: string) {
      return JSON.parse(await kubectl([...inNamespace(namespace), 'get', kind, name, '-o', 'json'])) as KubeResource
    },
    async find(kind: string, name: string, namespace?: string) {
      const found = await kubectl([...inNamespace(namespace), 'get', kind, name, '--ignore-not-found', '-o', 'json'])
      return found.trim() === '' ? undefined : (JSON.parse(found) as KubeResource)
    },
    async list(kind: string, namespace: string, selector?: string) {
      const wanted = selector === undefined ? [] : ['-l', selector]
      const { items } = JSON.parse(await kubectl(['-n', namespace, 'get', kind, ...wanted, '-o', 'json'])) as {
        items: KubeResource[]
      }
      return items
    },
    async apply(documents: string | object) {
      const input = typeof documents === 'string' ? documents : JSON.stringify(documents)
      await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input })
    },
    async patch(kind: string, name: string, namespace: string, change: object) {
      await kubectl(['-n', namespace, 'patch', kind, name, '--type=merge', '-p', JSON.stringify(change)])
    },
    watch(kind: string, which: string | { readonly selector: string }, namespace: string, jsonpath: string) {
      const wanted = typeof which === 'string' ? [which] : ['-l', which.selector]
      const format = `jsonpath=${jsonpath}{"\\n"}`
      const args = ['--kubeconfig', kubeconfig, '-n', namespace, 'get', kind, ...wanted, '-w', '-o', format]
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] })
      const seen: string[] = []
      createInterface({ input: child.stdout }).on('line', (line) => seen.push(line))
      const stop = (): void => {
        process.off('exit', stop)
        child.kill()
      }
      process.once('exit', stop)
      return { seen, stop }
    },
  })
}
