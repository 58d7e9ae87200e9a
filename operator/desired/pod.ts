import type { ResolvedRedis } from '../../lib/pipeline/resolve-pipeline.ts'
import type { Pipeline, Role } from '../../lib/pipeline/spec.ts'
import {
  childLabels,
  childName,
  configurationAnnotation,
  type Parent,
  type PodComponent,
  ports,
  restartAnnotation,
  secretsAnnotation,
  selectorLabels,
} from './child.ts'

/** What a person changes of the pods of a component. */
export type Template = NonNullable<
  Pipeline['spec'][Role]['template'] | Extract<ResolvedRedis, { readonly type: 'managed' }>['template']
>

export interface EnvironmentVariable {
  readonly name: string
  readonly value?: string | undefined
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
  /** What runs before, and a volume that it alone mounts. */
  readonly init?: { readonly container: unknown; readonly volume: unknown } | undefined
  /** Where the pods run as a ServiceAccount that does not name them itself. */
  readonly imagePullSecrets?: readonly string[] | undefined
}

/** A pod with one container under the restricted Pod Security Standard, with what the user adds merged in. */
export function podTemplate(parent: Parent, component: PodComponent, options: PodOptions) {
  const { configuration, secrets, restartAt, template = {} } = options
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
    spec: podSpec(parent, component, options, template),
  }
}

function podSpec(parent: Parent, component: PodComponent, options: PodOptions, template: Template) {
  const { mounts, terminationGracePeriodSeconds, init } = options
  const { nodeSelector, tolerations, affinity, priorityClassName, schedulerName, runtimeClassName } = template
  const { sidecars = [], volumes = [] } = template
  const initContainers =
    init === undefined ? template.initContainers : [init.container, ...(template.initContainers ?? [])]
  return {
    ...identity(parent, component, options, template),
    automountServiceAccountToken: false,
    // Variables of Services, such as ANOMALY_API_SERVICE_HOST, would be taken for flags.
    enableServiceLinks: false,
    terminationGracePeriodSeconds: template.terminationGracePeriodSeconds ?? terminationGracePeriodSeconds,
    ...unlessEmpty('securityContext', template.securityContext ?? restrictedPod(options.user)),
    topologySpreadConstraints: spread(parent, component, template),
    ...given({
      nodeSelector,
      tolerations,
      affinity,
      priorityClassName,
      schedulerName,
      runtimeClassName,
      initContainers,
    }),
    containers: [containerOf(component, options, template), ...sidecars],
    volumes: [
      ...mounts.flatMap(({ name, source }) => (Object.keys(source).length === 0 ? [] : [{ name, ...source }])),
      ...(init === undefined ? [] : [init.volume]),
      ...volumes,
    ],
  }
}

function containerOf(component: PodComponent, options: PodOptions, template: Template) {
  const { image, command, args, mounts, container } = options
  const env = mergedByName(options.env, template.env ?? [])
  return {
    name: component,
    image,
    ...given({ command, imagePullPolicy: template.imagePullPolicy }),
    args,
    ...(env.length === 0 ? {} : { env }),
    ...unlessEmpty('securityContext', template.containerSecurityContext ?? restrictedContainer),
    // The last line of its log says in the status why a container ended.
    terminationMessagePolicy: 'FallbackToLogsOnError',
    ...container,
    volumeMounts: [
      ...mounts.map(({ name, path, writable }) => ({
        name,
        mountPath: path,
        ...(writable === true ? {} : { readOnly: true }),
      })),
      ...(template.volumeMounts ?? []),
    ],
  }
}

/** As whom the pods run, and with which Secrets their images are pulled. */
function identity(
  parent: Parent,
  component: PodComponent,
  options: PodOptions,
  { serviceAccount, imagePullSecrets }: Template,
) {
  const foreign = serviceAccount?.name
  const own = childName(parent, serviceAccount?.annotations === undefined ? '' : component)
  const named =
    imagePullSecrets?.map(({ name }) => name) ?? (foreign === undefined ? [] : options.imagePullSecrets) ?? []
  return {
    serviceAccountName: foreign ?? own,
    ...(named.length === 0 ? {} : { imagePullSecrets: named.map((name) => ({ name })) }),
  }
}

const restrictedPod = (user: number) => ({
  runAsNonRoot: true,
  runAsUser: user,
  runAsGroup: user,
  fsGroup: user,
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: { type: 'RuntimeDefault' },
})

const restrictedContainer = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
}

/** Over zones and nodes as far as that is possible, or as the user says. */
function spread(parent: Parent, component: PodComponent, { topologySpreadConstraints }: Template) {
  const labelSelector = { matchLabels: selectorLabels(parent, component) }
  if (topologySpreadConstraints !== undefined)
    return topologySpreadConstraints.map((constraint) => ({ labelSelector, ...constraint }))
  return ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((topologyKey) => ({
    maxSkew: 1,
    topologyKey,
    whenUnsatisfiable: 'ScheduleAnyway',
    labelSelector,
  }))
}

/** The fields that have a value. */
const given = (fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

const unlessEmpty = (name: string, value: Readonly<Record<string, unknown>>) =>
  Object.keys(value).length === 0 ? {} : { [name]: value }

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

/** What of a template holds for pods that do their work and end; what runs beside the others would not let them. */
const placed: ReadonlySet<string> = new Set([
  ...['nodeSelector', 'tolerations', 'affinity', 'priorityClassName', 'schedulerName', 'runtimeClassName'],
  ...['securityContext', 'containerSecurityContext', 'imagePullPolicy', 'imagePullSecrets'],
])

export const placementOf = (template: Template = {}): Template =>
  Object.fromEntries(Object.entries(template).filter(([name]) => placed.has(name)))
