import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { KubeConfig } from '@kubernetes/client-node'
import { Registry } from 'prom-client'
import { AppError, messageOf } from '../lib/errors.ts'
import { type Part, run } from '../lib/lifecycle.ts'
import { createLogger, type Logger, type LoggerOptions } from '../lib/log.ts'
import { createProbes } from '../lib/probes.ts'
import { startTelemetry } from '../lib/telemetry.ts'
import { version } from '../lib/version.ts'
import type { Settings } from './desired/desired.ts'
import { createOperator } from './operator.ts'
import { createOperatorMetrics } from './operator-metrics.ts'
import type { OwnerReference } from './runtime/kube-object.ts'
import { tokenOwner } from './token-owner.ts'

export interface OperatorArguments {
  readonly workloadImage: string
  readonly redisImage: string
  /** Comma-separated. */
  readonly imagePullSecrets?: string | undefined
  /** Comma-separated; absent: all. */
  readonly namespaces?: string | undefined
  /** Where the Lease is. */
  readonly leaseNamespace: string
  /** Unique among the operator's processes. */
  readonly identity?: string | undefined
  readonly concurrency: number
  readonly probesPort: number
  readonly otlpEndpoint?: string | undefined
  readonly workloadOtlpEndpoint?: string | undefined
  readonly workloadLogLevel: string
  readonly logLevel: NonNullable<LoggerOptions['level']>
}

/** Comma-separated names, each once; undefined where there is none, as in an empty environment variable. */
export function namesOf(list = ''): readonly string[] | undefined {
  const names = [...new Set(list.split(',').map((name) => name.trim()))].filter((name) => name !== '')
  return names.length === 0 ? undefined : names
}

export interface OperatorRun {
  readonly kubeConfig: KubeConfig
  readonly settings: Settings
  /** Absent: all. */
  readonly namespaces?: readonly string[] | undefined
  readonly leaseNamespace: string
  /** With which the Lease goes. */
  readonly leaseOwner?: OwnerReference | undefined
  readonly identity: string
  readonly concurrency: number
  readonly probesPort: number
  readonly log: Logger
  readonly stop?: AbortController | undefined
  readonly beneath?: readonly Part[] | undefined
  readonly onStarted?: ((ports: { readonly probes: number }) => void) | undefined
}

/** Reconciles pipelines until a signal comes. */
export async function runOperator(options: OperatorRun): Promise<void> {
  const { log, probesPort, beneath = [] } = options
  const stop = options.stop ?? new AbortController()
  const registry = new Registry()
  const metrics = createOperatorMetrics(registry)
  const operator = createOperator({ ...options, metrics, onDeath: (error) => stop.abort(error) })
  const probes = createProbes({
    port: probesPort,
    registry,
    stopping: stop.signal,
    live: { operator: operator.deathProblem },
    ready: { caches: operator.cacheProblem, crd: operator.crdProblem },
    status: operator.status,
  })
  const started: Part = {
    name: 'start',
    start() {
      log.info({ probes: probes.port, version, namespaces: options.namespaces ?? 'all' }, 'started')
      options.onStarted?.({ probes: probes.port })
    },
  }
  await run([probes, ...beneath, operator, started], { log, stop })
}

/** Where a pod finds the token of its ServiceAccount. */
const mountedToken = '/var/run/secrets/kubernetes.io/serviceaccount/token'

/** @throws AppError */
export async function operatorCommand(args: OperatorArguments): Promise<void> {
  const log = await createLogger({ level: args.logLevel })
  const kubeConfig = new KubeConfig()
  try {
    kubeConfig.loadFromDefault()
  } catch (error) {
    throw new AppError('InvalidArgument', `Cannot read the kubeconfig: ${messageOf(error)}`, { cause: error })
  }
  if (!Number.isInteger(args.concurrency) || args.concurrency < 1)
    throw new AppError('InvalidArgument', `--concurrency: ${args.concurrency} must be a whole number from 1`)
  await runOperator({
    kubeConfig,
    settings: {
      workloadImage: args.workloadImage,
      redisImage: args.redisImage,
      imagePullSecrets: namesOf(args.imagePullSecrets),
      logLevel: args.workloadLogLevel,
      otlpEndpoint: args.workloadOtlpEndpoint,
    },
    namespaces: namesOf(args.namespaces),
    leaseNamespace: args.leaseNamespace,
    leaseOwner: tokenOwner(await readFile(mountedToken, 'utf8').catch(() => ''), args.leaseNamespace),
    identity: args.identity ?? `${hostname()}-${process.pid}`,
    concurrency: args.concurrency,
    probesPort: args.probesPort,
    log,
    beneath: [await startTelemetry({ endpoint: args.otlpEndpoint, serviceName: 'anomaly-operator' })],
  })
}
