import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { AppError } from '../../lib/errors.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { restartAnnotation } from '../desired/child.ts'
import { childKinds } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { modelsArguments, watchArguments } from './pod-commands.ts'
import { statusScreen } from './status-screen.ts'
import { withoutSecrets } from './support-report.ts'
import { tuneSteps } from './tune-steps.ts'

/** What `kubectl anomaly` does, by kubectl itself: with the cluster, the user and the namespace that it has. */

export interface PluginArguments {
  readonly name?: string | undefined
  /** Flags for kubectl, such as `--namespace`. */
  readonly kubectl: readonly string[]
}

const run = promisify(execFile)
const kind = 'anomalypipelines.anomaly.com'

async function kubectl(args: readonly string[]): Promise<string> {
  try {
    return (await run('kubectl', args, { maxBuffer: 256 << 20 })).stdout
  } catch (error) {
    const { code, stderr = '' } = error as { readonly code?: unknown; readonly stderr?: string }
    if (code === 'ENOENT') throw new AppError('NotFound', 'kubectl is not in the PATH')
    throw new AppError('Unavailable', stderr.trim().split('\n').at(-1) || `kubectl ${args[0]} failed`, { cause: error })
  }
}

const listOf = async (args: readonly string[]): Promise<readonly KubeObject[]> =>
  (JSON.parse(await kubectl([...args, '-o', 'json'])) as { readonly items: readonly KubeObject[] }).items

const getOf = async (args: readonly string[]): Promise<KubeObject> =>
  JSON.parse(await kubectl([...args, '-o', 'json'])) as KubeObject

/** One pipeline, or every one of the namespace. */
export async function statusCommand({ name, kubectl: flags }: PluginArguments): Promise<string> {
  const found =
    name === undefined ? await listOf(['get', kind, ...flags]) : [await getOf(['get', kind, name, ...flags])]
  if (found.length === 0) throw new AppError('NotFound', 'There is no AnomalyPipeline in this namespace')
  return found.map((pipeline) => statusScreen(pipeline, Date.now())).join('\n')
}

export async function switchCommand(
  { name = '', kubectl: flags }: PluginArguments,
  desiredState: 'Running' | 'Paused',
): Promise<string> {
  const patch = JSON.stringify({ spec: { desiredState } })
  return kubectl(['patch', kind, name, '--type=merge', '-p', patch, ...flags])
}

export async function restartCommand({ name = '', kubectl: flags }: PluginArguments): Promise<string> {
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  return kubectl(['annotate', kind, name, '--overwrite', `${restartAnnotation}=${now}`, ...flags])
}

/**
 * Prints verdicts as they are published, until it is ended: a consumer reads them, since it reaches the brokers, and this
 * machine may not. Gives the exit code.
 */
export async function verdictsCommand(
  { name = '', kubectl: flags }: PluginArguments,
  alerts: boolean,
): Promise<number> {
  const deployment = await getOf(['get', 'deployment', `${name}-consumer`, ...flags])
  const command = ['exec', `deployment/${name}-consumer`, '-c', 'consumer', ...flags, '--']
  const child = spawn('kubectl', [...command, ...watchArguments(deployment, alerts)], { stdio: 'inherit' })
  const [code] = (await once(child, 'close')) as [number | null]
  return code ?? 1
}

/** The models that a pipeline keeps, as a pod of inference reads them from Redis. */
export async function modelsCommand({ name = '', kubectl: flags }: PluginArguments): Promise<string> {
  const deployment = await getOf(['get', 'deployment', `${name}-inference`, ...flags])
  const command = ['exec', `deployment/${name}-inference`, '-c', 'inference', ...flags, '--']
  return kubectl([...command, ...modelsArguments(deployment)])
}

/** How to tune a pipeline on what its topic holds. */
export async function tuneCommand({ name = '', kubectl: flags }: PluginArguments): Promise<string> {
  const pipeline = parsePipeline(await getOf(['get', kind, name, ...flags]))
  return tuneSteps(pipeline, ['kubectl', 'get', kind, name, '-o', 'yaml', ...flags].join(' '))
}

/** All that somebody who helps needs of a pipeline, as YAML; neither Secrets nor values of variables are in it. */
export async function reportCommand({ name = '', kubectl: flags }: PluginArguments): Promise<string> {
  const pipeline = await getOf(['get', kind, name, ...flags])
  const { uid } = pipeline.metadata
  const selector = `app.kubernetes.io/instance=${name},app.kubernetes.io/name=anomaly`
  const kinds = [...childKinds.map(({ plural }) => plural), 'pods', 'persistentvolumeclaims'].join(',')
  const [versions, objects, events] = await Promise.all([
    kubectl(['version', ...flags]).catch((error: AppError) => error.message),
    listOf(['get', kinds, '-l', selector, ...flags]),
    listOf(['get', 'events', ...flags]),
  ])
  const names = new Set([uid, ...objects.map(({ metadata }) => metadata.uid)])
  const concerned = events.filter(({ involvedObject }) => names.has((involvedObject as { readonly uid?: string }).uid))
  const pods = objects.filter(({ kind: one }) => one === 'Pod')
  const logs = await Promise.all(
    pods.map(async ({ metadata }) => [metadata.name, await logsOf(metadata.name, flags)] as const),
  )
  return stringify(
    {
      versions: versions.trim().split('\n'),
      pipeline: withoutSecrets(pipeline),
      objects: objects.map(withoutSecrets),
      events: concerned.map(({ type, reason, message, count, lastTimestamp, involvedObject }) => ({
        ...{ type, reason, message, count, lastTimestamp },
        object: (involvedObject as { readonly name?: string }).name,
      })),
      logs: Object.fromEntries(logs),
    },
    { aliasDuplicateObjects: false },
  )
}

/** The program writes no secret to its log. */
async function logsOf(pod: string, flags: readonly string[]): Promise<readonly string[]> {
  const text = await kubectl(['logs', pod, '--tail=200', ...flags]).catch((error: AppError) => error.message)
  return text.trim().split('\n')
}
