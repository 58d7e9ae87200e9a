import { pipelineFilePath } from '../desired/pipeline-file.ts'
import type { KubeObject } from '../runtime/kube-object.ts'

interface Workload {
  readonly template?: {
    readonly spec?: { readonly containers?: readonly { readonly name: string; readonly args?: readonly string[] }[] }
  }
}

/** What prints the verdicts of a pipeline in a pod of its consumers, with their own access to the brokers. */
export function watchArguments(deployment: KubeObject, alerts: boolean): readonly string[] {
  const access = accessOf(deployment, 'consumer', '--kafka-')
  return ['anomaly', 'watch', '-f', pipelineFilePath, ...access, ...(alerts ? ['--alerts'] : [])]
}

/** What lists the models of a pipeline in a pod of its inference, with its own access to Redis. */
export function modelsArguments(deployment: KubeObject): readonly string[] {
  return ['anomaly', 'models', '-f', pipelineFilePath, ...accessOf(deployment, 'inference', '--redis-')]
}

/** The flags of the container that begin so, with their values. */
function accessOf({ spec }: KubeObject, container: string, prefix: string): readonly string[] {
  const { containers = [] } = (spec as Workload | undefined)?.template?.spec ?? {}
  const { args = [] } = containers.find(({ name }) => name === container) ?? {}
  return args.flatMap((flag, index) => (flag.startsWith(prefix) ? [flag, args[index + 1] ?? ''] : []))
}
