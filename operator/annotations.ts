import { didYouMean } from '../lib/pipeline/did-you-mean.ts'
import { reconcileAnnotation, restartAnnotation } from './desired/child.ts'
import type { KubeObject } from './runtime/kube-object.ts'

/** What people tell the operator by annotations of a pipeline. */

const prefix = 'anomaly.com/'
const known = [reconcileAnnotation, restartAnnotation]
const switches = ['Enabled', 'Disabled']
const longestRestartAt = 64

export const isDisabled = ({ metadata }: KubeObject): boolean =>
  metadata.annotations?.[reconcileAnnotation] === 'Disabled'

/** A line for each annotation whose value means nothing: until it is corrected, the operator changes nothing. */
export function annotationIssues({ metadata: { annotations = {} } }: KubeObject): readonly string[] {
  const { [reconcileAnnotation]: reconcile = 'Enabled', [restartAnnotation]: restartAt = '' } = annotations
  const issues: string[] = []
  if (!switches.includes(reconcile))
    issues.push(
      `metadata.annotations["${reconcileAnnotation}"]: must be ${switches.join(' or ')}, not ${JSON.stringify(reconcile.slice(0, 64))}`,
    )
  if (restartAt.length > longestRestartAt)
    issues.push(
      `metadata.annotations["${restartAnnotation}"]: must have at most ${longestRestartAt} characters, such as a time`,
    )
  return issues
}

/** A line for each annotation that looks like one of the operator's, and is none. */
export function annotationWarnings({ metadata: { annotations = {} } }: KubeObject): readonly string[] {
  const unknown = Object.keys(annotations).filter((name) => name.startsWith(prefix) && !known.includes(name))
  return unknown.map((name) => {
    const meant = didYouMean(name, known)
    return `metadata.annotations["${name}"]: nobody reads it${meant === undefined ? '' : ` (did you mean ${meant}?)`}`
  })
}
