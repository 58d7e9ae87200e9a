import { pipelineFilePath } from '../desired/pipeline-file.ts'
import type { KubeObject } from '../runtime/kube-object.ts'

interface Workload {
  readonly template?: {
    readonly spec?: { readonly containers?: readonly { readonly name: string; readonly args?: readonly string[] }[] }
  }
}

/** What prints the verdicts of a pipeline in a pod of its consumers, with their own access to the brokers. */
export function watchArguments({ spec }: KubeObject, alerts: boolean): readonly string[] {
  const { containers = [] } = (spec as Workload | undefined)?.template?.spec ?? {}
  const { args = [] } = containers.find(({ name }) => name === 'consumer') ?? {}
  const access = args.flatMap((flag, index) => (flag.startsWith('--kafka-') ? [flag, args[index + 1] ?? ''] : []))
  return ['anomaly', 'watch', '-f', pipelineFilePath, ...access, ...(alerts ? ['--alerts'] : [])]
}
