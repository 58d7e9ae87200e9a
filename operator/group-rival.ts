import { defaultGroupId } from '../lib/pipeline/resolve-pipeline.ts'
import { unionDefaults } from '../lib/pipeline/spec.ts'
import type { Cache } from './runtime/cache.ts'
import { type KubeObject, keyOf } from './runtime/kube-object.ts'

interface Source {
  readonly brokers?: readonly string[]
  readonly topic?: string
  readonly groupId?: string
}

const sourceOf = ({ spec }: KubeObject): Source => (spec as { readonly source?: Source } | undefined)?.source ?? {}

/** Which topic a pipeline reads as which group, for an index: pipelines that share both may take each other's events. */
export function groupOf(document: KubeObject): readonly string[] {
  const { groupId = defaultGroupId(document.metadata), topic = unionDefaults.topic } = sourceOf(document)
  return [`${groupId} ${topic}`]
}

/**
 * The pipeline that reads the same topic of the same brokers as the same group, and has done so for longer. Each of two
 * would get a part of the partitions, and undo what the other keeps.
 */
export function rivalOf(document: KubeObject, pipelines: Cache): string | undefined {
  const { uid, creationTimestamp = '' } = document.metadata
  const brokers = new Set(sourceOf(document).brokers)
  const age = ({ metadata }: KubeObject) => `${metadata.creationTimestamp ?? ''} ${metadata.uid}`
  const rivals = groupOf(document)
    .flatMap((group) => pipelines.indexed('group', group))
    .filter((other) => other.metadata.uid !== uid && other.metadata.deletionTimestamp === undefined)
    .filter((other) => sourceOf(other).brokers?.some((broker) => brokers.has(broker)) === true)
    .filter((other) => age(other) < `${creationTimestamp} ${uid}`)
    .sort((a, b) => age(a).localeCompare(age(b)))
  return rivals[0] && keyOf(rivals[0])
}

/** Those that a change of a pipeline may set free, or bring into trouble. */
export const sharingGroup = (document: KubeObject, pipelines: Cache): readonly string[] =>
  groupOf(document)
    .flatMap((group) => pipelines.indexed('group', group))
    .filter(({ metadata }) => metadata.uid !== document.metadata.uid)
    .map(keyOf)
