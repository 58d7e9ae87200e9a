import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { KubeConfig } from '@kubernetes/client-node'
import { binary } from '../../../tools/servers/binaries/binaries.ts'
import { freePorts } from '../../../tools/servers/server.ts'

export interface ApiServerOptions {
  /**
   * Also runs kube-controller-manager: `true` collects garbage (owner references) and empties deleted namespaces; a list
   * names its controllers, for example `['garbage-collector-controller', 'deployment-controller']`.
   */
  readonly controllerManager?: boolean | readonly string[]
}

/** A Kubernetes API server on loopback with an etcd of its own: no nodes, so nothing ever runs in it. */
export interface ApiServer {
  /** `https://127.0.0.1:port`; the same after `restart`. */
  readonly url: string
  /** Bearer token of a member of system:masters. */
  readonly token: string
  /** PEM of the authority that signed the serving certificate. */
  readonly ca: string
  readonly kubeConfig: KubeConfig
  /** Path of the same as a file, for kubectl. */
  readonly kubeconfigPath: string
  /** Ends the API server at once, as a power cut would; etcd goes on. */
  kill(): Promise<void>
  /** Starts the killed API server again on the same port with the same data; resolves when it is ready. */
  restart(): Promise<void>
  /** Ends everything and removes its files. */
  stop(): Promise<void>
}

/** Starts etcd and kube-apiserver and resolves when the latter is ready, in about 3 s once the programs are built. */
export async function startApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const controllers =
    options.controllerManager === true
      ? ['garbage-collector-controller', 'namespace-controller']
      : options.controllerManager || []
  const etcdBinary = await binary('etcd')
  const apiServerBinary = await binary('kube-apiserver')
  const controllerManagerBinary = controllers.length > 0 ? await binary('kube-controller-manager') : ''

  const home = await mkdtemp(join(tmpdir(), 'anomaly-apiserver-'))
  const token = randomBytes(24).toString('base64url')
  const certificates = join(home, 'certificates')
  await mkdir(certificates)
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const serviceAccountKey = join(home, 'service-accounts.key')
  const serviceAccountPublicKey = join(home, 'service-accounts.pub')
  const tokens = join(home, 'tokens.csv')
  await writeFile(serviceAccountKey, privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 })
  await writeFile(serviceAccountPublicKey, publicKey.export({ type: 'spki', format: 'pem' }))
  await writeFile(tokens, `${token},admin,admin,system:masters\n`, { mode: 0o600 })

  const [port, etcdPort, etcdPeerPort] = (await freePorts(3)) as [number, number, number]
  const url = `https://127.0.0.1:${port}`
  const etcdUrl = `http://127.0.0.1:${etcdPort}`
  const started: Program[] = []
  const start = (name: string, path: string, args: readonly string[]): Program => {
    const program = startProgram(path, args, join(home, `${name}.log`))
    started.push(program)
    return program
  }
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((program) => program.kill()))
    await rm(home, { recursive: true, force: true })
  }
  const startServer = (): Program =>
    start('kube-apiserver', apiServerBinary, [
      `--etcd-servers=${etcdUrl}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      '--endpoint-reconciler-type=none',
      `--secure-port=${port}`,
      `--cert-dir=${certificates}`,
      `--token-auth-file=${tokens}`,
      '--authorization-mode=RBAC',
      '--service-cluster-ip-range=10.0.0.0/16',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${serviceAccountPublicKey}`,
      `--service-account-signing-key-file=${serviceAccountKey}`,
      '--disable-admission-plugins=ServiceAccount',
      '--allow-privileged=true',
    ])

  try {
    start('etcd', etcdBinary, [
      `--data-dir=${join(home, 'etcd')}`,
      `--listen-client-urls=${etcdUrl}`,
      `--advertise-client-urls=${etcdUrl}`,
      `--listen-peer-urls=http://127.0.0.1:${etcdPeerPort}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${etcdPeerPort}`,
      `--initial-cluster=default=http://127.0.0.1:${etcdPeerPort}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ])
    let server = startServer()
    await untilReady(url, token, server)
    // The API server signed its serving certificate itself and wrote its authority beside it.
    const ca = await readFile(join(certificates, 'apiserver.crt'), 'utf8')
    const kubeConfig = new KubeConfig()
    kubeConfig.loadFromClusterAndUser(
      { name: 'test', server: url, caData: Buffer.from(ca).toString('base64'), skipTLSVerify: false },
      { name: 'admin', token },
    )
    const kubeconfigPath = join(home, 'kubeconfig')
    await writeFile(kubeconfigPath, kubeConfig.exportConfig(), { mode: 0o600 })

    if (controllers.length > 0) {
      start('kube-controller-manager', controllerManagerBinary, [
        `--kubeconfig=${kubeconfigPath}`,
        `--controllers=${controllers.join(',')}`,
        `--service-account-private-key-file=${serviceAccountKey}`,
        '--leader-elect=false',
        '--secure-port=0',
        '--concurrent-gc-syncs=4',
      ])
    }
    return {
      url,
      token,
      ca,
      kubeConfig,
      kubeconfigPath,
      kill: () => server.kill(),
      async restart() {
        await server.kill()
        server = startServer()
        await untilReady(url, token, server)
      },
      stop,
    }
  } catch (error) {
    const logs = await Promise.all(started.map((program) => program.tail()))
    await stop()
    throw new Error(`Cannot start the API server: ${(error as Error).message}\n${logs.join('\n')}`, { cause: error })
  }
}

interface Program {
  readonly ended: () => boolean
  kill(): Promise<void>
  /** The last lines that it wrote. */
  tail(): Promise<string>
}

/**
 * A shell holds the program and a pipe from this process. When the pipe closes, for whatever reason this process ended,
 * the shell kills the program: nothing outlives a test run, not even one that was killed.
 */
const supervisor =
  'exec 3<&0; "$@" & program=$!; (read -r _ <&3; kill -9 $program) 2>/dev/null & wait $program; kill $! 2>/dev/null'

function startProgram(path: string, args: readonly string[], log: string): Program {
  const output = openSync(log, 'a')
  const child: ChildProcess = spawn('sh', ['-c', supervisor, 'sh', path, ...args], { stdio: ['pipe', output, output] })
  closeSync(output)
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.unref()
  child.stdin?.on('error', () => {})
  return {
    ended: () => child.exitCode !== null || child.signalCode !== null,
    async kill() {
      child.ref()
      child.stdin?.destroy()
      await exited
    },
    async tail() {
      const text = await readFile(log, 'utf8').catch(() => '')
      return `--- ${path}\n${text.split('\n').slice(-15).join('\n')}`
    },
  }
}

async function untilReady(url: string, token: string, server: Program): Promise<void> {
  const deadline = performance.now() + 180_000
  while (performance.now() < deadline) {
    if (server.ended()) throw new Error('kube-apiserver ended')
    if ((await statusOf(`${url}/readyz`, token)) === 200) return
    await sleep(50)
  }
  throw new Error('kube-apiserver is not ready after 180 s')
}

function statusOf(url: string, token: string): Promise<number> {
  return new Promise((resolve) => {
    const options = { rejectUnauthorized: false, headers: { authorization: `Bearer ${token}` }, timeout: 5_000 }
    const call = request(url, options, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    call.on('timeout', () => call.destroy())
    call.on('error', () => resolve(0))
    call.end()
  })
}
