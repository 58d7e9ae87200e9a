import type { Pipeline, Role } from '../../lib/pipeline/spec.ts'
import {
  type Component,
  childLabels,
  childName,
  configurationAnnotation,
  type Parent,
  ports,
  restartAnnotation,
  secretsAnnotation,
  selectorLabels,
} from './child.ts'

type Template = NonNullable<Pipeline['spec'][Role]['template']>

export interface EnvironmentVariable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: unknown
}

/** Files that a pod reads: where, and from which ConfigMap or Secret. */
export interface Mount {
  readonly name: string
  readonly path: string
  readonly source: Readonly<Record<string, unknown>>
  readonly writable?: boolean
}

export interface PodOptions {
  readonly image: string
  readonly command?: readonly string[]
  readonly args: readonly string[]
  readonly env: readonly EnvironmentVariable[]
  readonly mounts: readonly Mount[]
  readonly container: Readonly<Record<string, unknown>>
  /** Numeric id of the image's user. */
  readonly user: number
  /** Hashes of what the pod reads only at its start. */
  readonly configuration?: string
  readonly secrets: string
  readonly restartAt?: string | undefined
  readonly template?: Template | undefined
  readonly terminationGracePeriodSeconds: number
}

/** A pod with one container under the restricted Pod Security Standard, with what the user adds merged in. */
export function podTemplate(parent: Parent, component: Component, options: PodOptions) {
  const { image, command, args, mounts, container, user, configuration, secrets, restartAt, template = {} } = options
  const { nodeSelector, tolerations, affinity, priorityClassName } = template
  const env = mergedByName(options.env, template.env ?? [])
  return {
    metadata: {
      labels: { ...template.labels, ...childLabels(parent, component) },
      annotations: {
        'kubectl.kubernetes.io/default-container': component,
        ...template.annotations,
        ...(configuration === undefined ? {} : { [configurationAnnotation]: configuration }),
        [secretsAnnotation]: secrets,
        ...(restartAt === undefined ? {} : { [restartAnnotation]: restartAt }),
      },
    },
    spec: {
      serviceAccountName: childName(parent, ''),
      automountServiceAccountToken: false,
      // Variables of Services, such as ANOMALY_API_SERVICE_HOST, would be taken for flags.
      enableServiceLinks: false,
      terminationGracePeriodSeconds: options.terminationGracePeriodSeconds,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: user,
        runAsGroup: user,
        fsGroup: user,
        fsGroupChangePolicy: 'OnRootMismatch',
        seccompProfile: { type: 'RuntimeDefault' },
      },
      topologySpreadConstraints: ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((topologyKey) => ({
        maxSkew: 1,
        topologyKey,
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: selectorLabels(parent, component) },
      })),
      ...(nodeSelector === undefined ? {} : { nodeSelector }),
      ...(tolerations === undefined ? {} : { tolerations }),
      ...(affinity === undefined ? {} : { affinity }),
      ...(priorityClassName === undefined ? {} : { priorityClassName }),
      containers: [
        {
          name: component,
          image,
          ...(command === undefined ? {} : { command }),
          args,
          ...(env.length === 0 ? {} : { env }),
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          // The last line of its log says in the status why a container ended.
          terminationMessagePolicy: 'FallbackToLogsOnError',
          ...container,
          volumeMounts: mounts.map(({ name, path, writable }) => ({
            name,
            mountPath: path,
            ...(writable === true ? {} : { readOnly: true }),
          })),
        },
      ],
      volumes: mounts.flatMap(({ name, source }) => (Object.keys(source).length === 0 ? [] : [{ name, ...source }])),
    },
  }
}

/** Probes of a process that answers on the metrics port; a start may take two minutes. */
export const probes = {
  startupProbe: { httpGet: { path: '/livez', port: 'metrics' }, periodSeconds: 2, failureThreshold: 60 },
  livenessProbe: {
    httpGet: { path: '/livez', port: 'metrics' },
    periodSeconds: 10,
    timeoutSeconds: 5,
    failureThreshold: 6,
  },
  readinessProbe: {
    httpGet: { path: '/readyz', port: 'metrics' },
    periodSeconds: 3,
    timeoutSeconds: 3,
    failureThreshold: 2,
  },
} as const

export const metricsPort = { name: 'metrics', containerPort: ports.metrics } as const

function mergedByName(
  own: readonly EnvironmentVariable[],
  added: readonly EnvironmentVariable[],
): readonly EnvironmentVariable[] {
  const names = new Set(added.map(({ name }) => name))
  return [...own.filter(({ name }) => !names.has(name)), ...added]
}
