import * as z from 'zod'
import { type Constraint, constrain, exactlyOne, immutable, notBoth, notSmaller, unchanged } from './constrain.ts'
import { anything, choice, decimal, integer, list, listMap, map, object, pattern, quantity, text } from './fields.ts'
import type { Plain } from './plain.ts'

/**
 * The AnomalyPipeline document: the only declaration of its type, its defaults, its limits and its rules. The CRD is
 * generated from it. Members of a union carry no default here, because the API server fills defaults in before it
 * checks the rules: resolve-pipeline.ts knows what an absent member means.
 */

export const apiVersion = 'anomaly.com/v1alpha1'
export const kind = 'AnomalyPipeline'

/** What an absent member of a union means. */
export const unionDefaults = {
  topic: 'anomaly-events',
  alertBudget: { perMillion: 1000, mode: 'Quota' },
  features: 'features',
  profile: { halfLifeEvents: 500 },
  isolationForest: { trees: 100, sampleSize: 256, refitEvents: 5000 },
  onnx: { kind: 'Score', anomalous: 'Higher', timeoutMs: 100 },
  scaling: {
    consumer: {
      replicas: undefined,
      autoscaling: { minReplicas: 1, maxReplicas: 8, targetCpuPercent: 70, targetLag: 10_000, mode: 'Automatic' },
    },
    inference: { replicas: 2, autoscaling: { minReplicas: 2, maxReplicas: 8, targetCpuPercent: 70 } },
    api: { replicas: 2, autoscaling: { minReplicas: 2, maxReplicas: 8, targetCpuPercent: 70 } },
    recorder: { replicas: 1 },
  },
  managedRedis: {
    replicas: 1,
    memoryMebibytes: 256,
    storage: { type: 'Persistent', size: '1Gi', whenDeleted: 'Delete' },
  },
} as const

const objectName = (what: string) =>
  pattern(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 253, 'the name of a Kubernetes object').describe(what)

/** A Secret of the pipeline's namespace; which of its entries are read is said where it is named. */
const secretRef = (what: string) =>
  object({ name: objectName('Name of the Secret, in the namespace of the pipeline.') }).describe(what)

/** One entry of a Secret. */
const secretKeyRef = (what: string) =>
  object({
    name: objectName('Name of the Secret, in the namespace of the pipeline.'),
    key: pattern(/^[-._a-zA-Z0-9]+$/, 253, 'the name of an entry of a Secret').describe('The entry of the Secret.'),
  }).describe(what)

const tls = (server: string) =>
  object({
    caSecretRef: secretKeyRef(
      `Certificates (PEM) that sign the certificate of ${server}; the public authorities if absent.`,
    ).optional(),
    certificateSecretRef: secretRef(
      `Client certificate for mutual TLS: a Secret of type kubernetes.io/tls with tls.crt and tls.key.`,
    ).optional(),
  })
    .optional()
    .describe(`Present, if only as {}: connections to ${server} use TLS.`)

const timestamp = () =>
  pattern(
    /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/,
    35,
    'an RFC 3339 time such as 2026-01-31T00:00:00Z',
  )

// --- source ---------------------------------------------------------------------------------------------------------

const topicName = () =>
  pattern(/^[a-zA-Z0-9._-]+$/, 249, 'the name of a Kafka topic: letters, digits, dot, underscore and hyphen')

const sourceSpec = constrain(
  object({
    brokers: list(
      pattern(/^([a-zA-Z0-9._-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$/, 260, 'host:port').describe('host:port'),
      1,
      32,
    ).describe('Kafka brokers to start from; the others are learnt from them.'),
    // Profiles, calibration and offsets belong to a topic's partitions: on another topic they would describe other events.
    topic: immutable(topicName(), 'cannot be changed: what was learnt belongs to the topic; create another pipeline')
      .default(unionDefaults.topic)
      .describe('Topic of the events. Immutable.'),
    groupId: pattern(/^[a-zA-Z0-9._-]+$/, 200, 'letters, digits, dot, underscore and hyphen')
      .optional()
      .describe(
        'Consumer group, whose committed offsets say what was read. anomaly_<namespace>_<name> if absent. Immutable.',
      ),
    startFrom: choice(['Earliest', 'Latest'])
      .default('Latest')
      .describe('Where to begin in a topic that the group never read.'),
    learnOnlyBefore: timestamp()
      .optional()
      .describe(
        'Events with an earlier time are learnt and never alert, for a start with a past: set startFrom to Earliest, and this to now.',
      ),
    partitioner: choice(['Murmur2', 'Crc32'])
      .default('Murmur2')
      .describe(
        'How producers place keys: Murmur2 (Java, kafkajs) or Crc32 (librdkafka). The API finds the partition of a key with it.',
      ),
    createTopics: object({
      mode: choice(['Enabled', 'Disabled']).default('Enabled').describe('Whether missing topics are created.'),
      partitions: integer(1, 10_000).default(12).describe('Partitions of a topic that is created.'),
    })
      .prefault({})
      .describe(
        'Creation of the topics of events, results and dead letters where they are missing. Existing topics are left alone.',
      ),
    tls: tls('the brokers'),
    sasl: object({
      mechanism: choice(['Plain', 'ScramSha256', 'ScramSha512']).describe('SASL mechanism of the brokers.'),
      secretRef: secretRef('Secret with the entries username and password.'),
    })
      .optional()
      .describe('Log in to the brokers with a name and a password.'),
    schemaRegistry: object({
      url: pattern(/^https?:\/\/[^\s@?#]+$/, 512, 'an address such as http://registry:8081').describe(
        'Address of the registry.',
      ),
      secretRef: secretRef('Secret with the entries username and password, for a registry with a login.').optional(),
    })
      .optional()
      .describe(
        "Registry of the schemas of events in the framing of Confluent's serializers: Avro, Protobuf or JSON. Events without framing are JSON.",
      ),
  }),
  {
    // Committed offsets and transactional ids are those of the group: under another one events would be read again or skipped.
    message: 'cannot be changed: the committed offsets belong to the group; create another pipeline',
    cel: unchanged('groupId', ''),
    at: 'groupId',
  },
)

// --- event ----------------------------------------------------------------------------------------------------------

/** Plain names, joined by dots where objects are nested. */
const path = '([^.*$][^.*]*\\.)*[^.*$][^.*]*'
export const isFieldPath = (text: string): boolean => new RegExp(`^${path}$`).test(text)
/** Empty where events have no such field. */
const fieldPath = () => pattern(new RegExp(`^(${path})?$`), 256, 'the name of a field, dotted where nested, or ""')

const eventSpec = constrain(
  object({
    envelope: choice(['CloudEvents', 'Debezium'])
      .optional()
      .describe(
        'What events are wrapped in. CloudEvents: fields are the attributes and those of data, structured or with attributes in Kafka headers. Debezium: fields are those of the row after the change; changes that leave no row are left aside.',
      ),
    id: fieldPath()
      .default('eventId')
      .describe('Field of the identifier. "": topic-partition-offset in Kafka, row-N in a file.'),
    time: fieldPath()
      .default('timestamp')
      .describe(
        'Field of the time: seconds or milliseconds since 1970, RFC 3339, or a date-time without zone, which is UTC. "": time of arrival.',
      ),
    // Stored profiles are those of the old field's values; under another field they would be another key's history.
    key: immutable(
      pattern(new RegExp(`^(\\$key|\\$source|${path})?$`), 256, 'the name of a field, $key, $source or ""'),
      'cannot be changed: what was learnt belongs to the keys; create another pipeline',
    )
      .default('userId')
      .describe(
        'Field of the key, whose history an event belongs to. $key: key of the Kafka record. $source: the topic or file. "": one key for all. Immutable.',
      ),
    value: fieldPath().default('value').describe('Field of the value. "": events have none.'),
    features: fieldPath()
      .optional()
      .describe(
        `Field with an object of numbers, the features. "": events have none. "${unionDefaults.features}" if neither this nor featureFields is given.`,
      ),
    featureFields: list(
      pattern(
        /^([^.*$][^.*]*\.)*([^.*$][^.*]*\*?|\*)$/,
        256,
        'the name of a field, or the start of names followed by *',
      ).describe('Name of a field, or the start of names followed by *.'),
      1,
      256,
    )
      .optional()
      .describe(
        'Features of flat events: numeric fields by name, or by the start of their names as in "x*". Instead of features.',
      ),
    categories: list(
      pattern(new RegExp(`^${path}$`), 256, 'the name of a field, dotted where nested').describe(
        'Name of a field, dotted where nested.',
      ),
      1,
      8,
    )
      .optional()
      .describe(
        'Fields of text, such as country or merchant. A value that is rare for the key and for the stream counts as an anomaly. A change begins what was learnt anew.',
      ),
    secondaryKeys: list(
      pattern(new RegExp(`^${path}$`), 256, 'the name of a field, dotted where nested').describe(
        'Name of a field, dotted where nested.',
      ),
      1,
      4,
    )
      .optional()
      .describe(
        'Fields of other parties to an event, such as a terminal or a merchant, whose risk feedback raises: with detection.feedback. Their events may lie in many partitions. Verdicts name them.',
      ),
  }),
  notBoth('features', 'featureFields'),
)

// --- detection ------------------------------------------------------------------------------------------------------

const itemName = (what: string) =>
  pattern(
    /^[a-z]([-a-z0-9]*[a-z0-9])?$/,
    40,
    'lower-case letters, digits and hyphens, starting with a letter',
  ).describe(what)

const ruleSpec = constrain(
  object({
    name: itemName('Name of the rule in verdicts and alerts.'),
    field: pattern(/^(mean\(features\)|[^()]+)$/, 256, 'value, the name of a feature, or mean(features)').describe(
      'What is compared: value, the name of a feature, or mean(features).',
    ),
    above: decimal().optional().describe('Events with more than this alert.'),
    below: decimal().optional().describe('Events with less than this alert.'),
  }),
  exactlyOne('above', 'below'),
)

const muteSpec = object({
  keys: list(text(256).describe('A key; * stands for any text.'), 1, 64).describe(
    'Whose events do not alert: keys as they are, or with * for any text.',
  ),
  reasons: list(text(256).describe('Name of a feature, or value, interval, missing features.'), 1, 32)
    .optional()
    .describe('Only alerts whose strongest reason names one of these. Any if absent.'),
  until: timestamp().describe('Events with this time or a later one alert again.'),
  note: text(256).optional().describe('Why, and who asked for it.'),
})

const days = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] as const
const timeOfDay = () => pattern(/^([01]\d|2[0-3]):[0-5]\d$/, 5, 'a time of the day such as 02:30')

const calendarSpec = constrain(
  object({
    name: itemName('Name of the calendar.'),
    spans: list(
      constrain(
        object({
          from: timestamp().describe('Time of the first event in it.'),
          to: timestamp().describe('Events with this time or a later one are after it.'),
        }).describe('From one time to another.'),
        {
          message: 'must end after it begins',
          cel: 'timestamp(self.to) > timestamp(self.from)',
          holds: ({ from, to }) => Date.parse(to) > Date.parse(from),
        },
      ),
      1,
      64,
    )
      .optional()
      .describe('What happens once.'),
    weekly: list(
      object({
        days: list(choice(days).describe('A day of the week.'), 1, 7)
          .optional()
          .describe('Days on which it begins. Every day if absent.'),
        from: timeOfDay().describe('When it begins.'),
        to: timeOfDay().describe('When it is over: on the next day, unless this is later than from.'),
      }).describe('A time of the day.'),
      1,
      32,
    )
      .optional()
      .describe('What comes again every week, or every day.'),
    timeZone: pattern(/^[A-Za-z]+([/_+-][A-Za-z0-9]+)*$/, 64, 'a time zone such as Europe/Berlin')
      .optional()
      .describe('Of weekly. UTC if absent.'),
  }),
  exactlyOne('spans', 'weekly'),
  {
    message: 'timeZone must be one that exists, such as Europe/Berlin',
    cel: "!has(self.timeZone) || timestamp('2000-01-01T00:00:00Z').getFullYear(self.timeZone) > 0",
    holds: ({ timeZone = 'UTC' }) => isTimeZone(timeZone),
  },
)

function isTimeZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone })
    return true
  } catch {
    return false
  }
}

const forest = unionDefaults.isolationForest

const pathWithin = () =>
  pattern(
    /^[^/\s.][^/\s]*(\/[^/\s.][^/\s]*)*$/,
    512,
    'a path such as models/fraud.onnx, without dots at the start of names',
  )

const onnxSpec = object({
  from: constrain(
    object({
      configMap: object({
        name: objectName('Name of the ConfigMap, in the namespace of the pipeline.'),
        key: pattern(/^[-._a-zA-Z0-9]+$/, 253, 'the name of an entry of a ConfigMap').describe(
          'The entry, of its binaryData.',
        ),
      })
        .optional()
        .describe('A ConfigMap, for models up to 1 MiB. A change of it replaces the pods of inference.'),
      persistentVolumeClaim: object({
        claimName: objectName('Name of the claim, in the namespace of the pipeline.'),
        path: pathWithin().describe('Path of the file in the volume.'),
      })
        .optional()
        .describe('A volume, which is mounted to be read.'),
      file: text(512).optional().describe('A file of the image, or of the machine that anomaly run is on.'),
    }),
    exactlyOne('configMap', 'persistentVolumeClaim', 'file'),
  ).describe('Where the model is.'),
  kind: choice(['Score', 'Reconstruction'])
    .optional()
    .describe(
      `Score: a number a row says how anomalous it is. Reconstruction: the model gives the inputs back, and the mean squared difference is the score. ${unionDefaults.onnx.kind} if absent.`,
    ),
  inputs: list(
    text(256).describe('value, value.deviation, interval.deviation or the name of a feature.'),
    1,
    256,
  ).describe('What the columns of the input are, in their order.'),
  output: text(256).optional().describe('Name of the output; the first with numbers if absent.'),
  anomalous: choice(['Higher', 'Lower'])
    .optional()
    .describe(
      `Which scores are anomalous. Lower: as of decision_function of scikit-learn. ${unionDefaults.onnx.anomalous} if absent.`,
    ),
  timeoutMs: integer(1, 10_000)
    .optional()
    .describe(
      `Time that 512 rows may take; rows without an answer are judged by the other detectors. ${unionDefaults.onnx.timeoutMs} if absent.`,
    ),
})

const detectorSpec = constrain(
  object({
    name: itemName('Name of the detector in verdicts.'),
    profile: object({
      halfLifeEvents: integer(1, 1_000_000)
        .optional()
        .describe(
          `After so many events of a key, an event counts half as much in its profile. ${unionDefaults.profile.halfLifeEvents} if absent.`,
        ),
    })
      .optional()
      .describe('Compares an event with the running statistics of its key. For many keys.'),
    isolationForest: object({
      trees: integer(10, 1000).optional().describe(`Number of trees. ${forest.trees} if absent.`),
      sampleSize: integer(16, 4096)
        .optional()
        .describe(`Rows that a tree is built from. ${forest.sampleSize} if absent.`),
      refitEvents: integer(100, 100_000_000)
        .optional()
        .describe(`Events between two fits of the model. ${forest.refitEvents} if absent.`),
    })
      .optional()
      .describe('Finds rows that few random splits set apart from the rest of the stream (Liu, Ting and Zhou 2008).'),
    discord: object({})
      .optional()
      .describe(
        'Finds values whose neighbourhood in time looks like nothing in the past of the key. For few keys with long series.',
      ),
    onnx: onnxSpec
      .optional()
      .describe('A model of your own, in ONNX. Its scores are calibrated on past rows like those of a forest.'),
  }),
  exactlyOne('profile', 'isolationForest', 'discord', 'onnx'),
)

const windowOf = () =>
  pattern(/^[1-9][0-9]{0,3}[smhd]$/, 5, 'a duration such as 90s, 10m, 24h or 7d').describe(
    'Length of the window that ends with the event.',
  )
const fieldOf = () =>
  pattern(/^[^()]+$/, 256, 'value or the name of a feature').describe('value, or the name of a feature.')

const derivedFeatureSpec = constrain(
  object({
    name: pattern(/^[^.*$()]+$/, 128, 'a name without . * $ ( )').describe(
      'Name of the feature, in rules and reasons.',
    ),
    count: object({ window: windowOf() }).optional().describe('How many events the key had in a window.'),
    sum: object({ field: fieldOf(), window: windowOf() }).optional().describe('Sum of a field in a window.'),
    sinceLast: object({}).optional().describe('Seconds since the last event of the key.'),
    ratio: object({ field: fieldOf() }).optional().describe('A field over its mean in the events of the key before.'),
    change: object({ field: fieldOf() })
      .optional()
      .describe('By how much a field changed since the last event of the key, a second.'),
  }),
  exactlyOne('count', 'sum', 'sinceLast', 'ratio', 'change'),
)

const modelVersion = (what: string) =>
  pattern(/^[A-Za-z0-9]([-+.A-Za-z0-9]*[A-Za-z0-9])?$/, 320, 'a version as verdicts and the status state it').describe(
    what,
  )

const detectionSpec = constrain(
  object({
    alertBudget: object({
      perMillion: integer(1, 1_000_000)
        .optional()
        .describe(
          `How many events per million may be called anomalies. ${unionDefaults.alertBudget.perMillion} if absent.`,
        ),
      mode: choice(['Quota', 'Ceiling'])
        .optional()
        .describe(
          `Quota: the threshold follows, so that the budget is used. Ceiling: besides, what is not rarer than the budget asks for is never an anomaly; a quiet stream uses less. ${unionDefaults.alertBudget.mode} if absent.`,
        ),
    })
      .optional()
      .describe(
        'How many events may be called anomalies; the threshold follows, and no block of 10,000 events has more than 1.3 times as many. Its defaults hold if neither this, alertBudgetPerMillion nor threshold is given.',
      ),
    alertBudgetPerMillion: integer(1, 1_000_000).optional().describe('Short for alertBudget with this perMillion.'),
    threshold: pattern(/^0\.[0-9]{1,15}$/, 17, 'an anomaly score between 0 and 1 in quotes, such as "0.988"')
      .optional()
      .describe('Anomaly score from which an event is called an anomaly. Instead of alertBudget.'),
    refractorySeconds: integer(0, 604_800)
      .default(300)
      .describe('After an alert, the time in which the same episode of the same key is not alerted again.'),
    onModelUnavailable: choice(['Degrade', 'Wait'])
      .default('Degrade')
      .describe(
        'When no inference answers. Degrade: profiles and rules go on and the verdict says so. Wait: events wait.',
      ),
    learnFromCalls: choice(['Enabled', 'Disabled'])
      .default('Disabled')
      .describe(
        'Whether models also learn what is sent to DetectAnomaly. Whoever reaches inference then has a part in what is normal.',
      ),
    rules: listMap(ruleSpec.describe('A fixed limit.'), 'name', 0, 32)
      .default([])
      .describe('Fixed limits. A hit always alerts, outside calibration, budget and refractory period.'),
    mutes: list(muteSpec.describe('A silence with an end.'), 0, 64)
      .optional()
      .describe(
        'What is known and does not alert for a while, by budget or by rule. Events are judged all the same, and their verdicts say so.',
      ),
    calendars: listMap(
      calendarSpec.describe('Spans of time with a name; exactly one of spans and weekly.'),
      'name',
      0,
      32,
    )
      .optional()
      .describe(
        'When what is unusual is expected, such as a sale or a nightly batch. Events in them are judged, do not alert, and are not learnt.',
      ),
    detectors: listMap(detectorSpec.describe('An algorithm and its options; exactly one of them.'), 'name', 1, 8)
      .optional()
      .describe('The algorithms that score events. A profile and an isolationForest if absent.'),
    model: object({
      pin: modelVersion(
        'Version that serves, and that no other takes the place of: of those that are kept, to hold one or to roll back.',
      ).optional(),
      challenger: object({
        version: modelVersion('Version of a model that is kept.'),
        percentOfKeys: integer(1, 99).describe('Percent of the keys whose events it decides on.'),
      })
        .optional()
        .describe('A model that decides on a part of the keys, with its figures beside those of the one that serves.'),
    })
      .optional()
      .describe('Which of the fitted models serve. Taken up by processes that run.'),
    derivedFeatures: listMap(
      derivedFeatureSpec.describe('A feature that is made of the events of the key; exactly one way of making it.'),
      'name',
      1,
      16,
    )
      .optional()
      .describe('Features that are made of the history of the key, beside those that events carry.'),
    feedback: object({
      topic: topicName()
        .optional()
        .describe('Topic that feedback is read from, as JSON. Only the API takes any if absent.'),
      authentication: choice(['Required', 'None'])
        .optional()
        .describe(
          'Required: the API takes feedback only where it asks for tokens, api.auth. None: from anyone who reaches it. Required if absent.',
        ),
    })
      .optional()
      .describe(
        'Present, if only as {}: what people say of verdicts is learnt. A false alarm widens what is normal for its key; a confirmed anomaly raises the risk of its key and secondary keys.',
      ),
  }),
  notBoth('alertBudgetPerMillion', 'threshold'),
  notBoth('alertBudget', 'threshold'),
  notBoth('alertBudget', 'alertBudgetPerMillion'),
)

// --- pods ----------------------------------------------------------------------------------------------------------

const amounts = (what: string) =>
  object({
    cpu: quantity().optional().describe('CPU, such as 500m or 2.'),
    memory: quantity().optional().describe('Memory, such as 512Mi.'),
    'ephemeral-storage': quantity().optional().describe('Space on the disk of the node, such as 1Gi.'),
  })
    .optional()
    .describe(what)

const resources = object({
  requests: amounts('What a pod is sure to get.'),
  limits: amounts('What a pod may use at most.'),
})
  .optional()
  .describe("Resources of a pod's container; what is left out is as the operator has it.")

const reserved = ['app.kubernetes.io/', 'anomaly.com/']
const ownLabels = constrain(map(text(63), 32), {
  message: `must not begin with ${reserved.join(' or ')}: these labels are the operator's`,
  cel: `self.all(key, ${reserved.map((prefix) => `!key.startsWith('${prefix}')`).join(' && ')})`,
  holds: (labels) => !Object.keys(labels).some((label) => reserved.some((prefix) => label.startsWith(prefix))),
})

/** Parts of a pod that are handed on as they are; the API server knows what they may say. */
const parts = (what: string, item: string, max = 16) =>
  list(anything().describe(item), 0, max).optional().describe(what)

const variable = constrain(
  object({
    name: pattern(/^[A-Za-z_][A-Za-z0-9_]*$/, 253, 'the name of an environment variable').describe(
      'Name of the variable.',
    ),
    value: text(4096).optional().describe('Value of the variable.'),
    valueFrom: anything()
      .optional()
      .describe('Where its value comes from, as in a Pod: an entry of a Secret, a field.'),
  }),
  exactlyOne('value', 'valueFrom'),
)

/** Changes to the pods of a component. */
const templateFields = {
  labels: ownLabels.optional().describe('Labels added to the pods.'),
  annotations: map(text(4096), 32).optional().describe('Annotations added to the pods.'),
  nodeSelector: map(text(63), 32).optional().describe('Labels that a node must have.'),
  tolerations: list(
    object({
      key: text(317).optional().describe('Taint; all if absent.'),
      operator: choice(['Exists', 'Equal']).optional().describe('Equal if absent.'),
      value: text(63).optional().describe('Value of the taint, for Equal.'),
      effect: choice(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional().describe('Effect; all if absent.'),
      tolerationSeconds: integer(0, 2_147_483_647)
        .optional()
        .describe('How long NoExecute is tolerated; for ever if absent.'),
    }).describe('A taint that is tolerated.'),
    0,
    32,
  )
    .optional()
    .describe('Taints of nodes that the pods tolerate.'),
  affinity: anything().optional().describe('Affinity of the pods, as in a Pod.'),
  topologySpreadConstraints: parts(
    'How the pods are spread, as in a Pod; over zones and nodes as far as possible if absent, not at all if empty.',
    'A constraint; without a labelSelector it is about the pods of the component.',
  ),
  priorityClassName: objectName('PriorityClass of the pods.').optional(),
  schedulerName: objectName('Scheduler of the pods.').optional(),
  runtimeClassName: objectName('RuntimeClass of the pods.').optional(),
  securityContext: anything()
    .optional()
    .describe("Of the pod, in the place of the operator's own; {} says nothing, as OpenShift wants it."),
  containerSecurityContext: anything()
    .optional()
    .describe("Of the container, in the place of the operator's own; {} says nothing."),
  env: listMap(variable.describe('A variable.'), 'name', 0, 64)
    .optional()
    .describe('Environment variables added to the container.'),
  volumes: parts('Volumes added to the pods, as in a Pod.', 'A volume.', 32),
  volumeMounts: parts('Mounts added to the container, as in a Pod.', 'A mount.', 32),
  initContainers: parts('Containers that run before, as in a Pod.', 'A container.'),
  sidecars: parts('Containers that run beside, as in a Pod.', 'A container.'),
  imagePullPolicy: choice(['Always', 'IfNotPresent', 'Never'])
    .optional()
    .describe('When the image is pulled; as Kubernetes sees fit if absent.'),
  imagePullSecrets: list(secretRef('A Secret of type kubernetes.io/dockerconfigjson.'), 0, 8)
    .optional()
    .describe("Secrets with which the images are pulled; the operator's if absent."),
  serviceAccount: constrain(
    object({
      name: objectName('One that exists, as which the pods run.').optional(),
      annotations: map(text(4096), 32)
        .optional()
        .describe('Annotations of one that the operator makes for these pods, such as the identity in a cloud.'),
    }),
    exactlyOne('name', 'annotations'),
  )
    .optional()
    .describe("As whom the pods run; as the pipeline's own ServiceAccount if absent."),
  terminationGracePeriodSeconds: integer(1, 3600)
    .optional()
    .describe('How long the pods may take to end; 45 if absent, 60 for Redis.'),
}

const template = object({
  ...templateFields,
  logLevel: choice(['debug', 'info', 'warn', 'error'])
    .optional()
    .describe("Least severe log line; the operator's workload log level if absent."),
  logFormat: choice(['Json', 'Text'])
    .optional()
    .describe('Log lines as JSON, which is the default, or as text for people.'),
})
  .optional()
  .describe('Changes to the pods.')

// --- results and state ----------------------------------------------------------------------------------------------

/** What the name of the pipeline is followed by where the document names no topic. */
const resultsSuffixes = { topic: '-verdicts', deadLetterTopic: '-dead-letters' } as const
/** What absent topics meant before they had the name of the pipeline: one that ran with them keeps them. */
const formerResults = { topic: 'anomaly-results', deadLetterTopic: 'anomaly-events-dlq' } as const

const resultsSpec = object({
  topic: topicName().optional().describe(`Topic of the verdicts. <pipeline>${resultsSuffixes.topic} if absent.`),
  deadLetterTopic: topicName()
    .optional()
    .describe(
      `Topic of the events that could not be read, with the reason. <pipeline>${resultsSuffixes.deadLetterTopic} if absent.`,
    ),
  episodesTopic: topicName()
    .optional()
    .describe(
      'Topic of the episodes: the alerts of a key that belong together, when one is opened, updated and closed. Published nowhere if absent.',
    ),
  publish: choice(['All', 'Anomalies'])
    .default('All')
    .describe('Whether every event has its verdict published or only anomalies.'),
  publishHistory: choice(['Enabled', 'Disabled'])
    .optional()
    .describe(
      'Whether events before source.learnOnlyBefore have a verdict published too; none of them is an anomaly. Disabled if absent.',
    ),
})

const { storage } = unionDefaults.managedRedis

/** Of a volume that there was before. */
const whereManaged = (cel: string): string => `has(self.external) || has(oldSelf.external) || (${cel})`

const redisSpec = constrain(
  object({
    managed: object({
      memoryMebibytes: integer(64, 65_536)
        .optional()
        .describe(
          `Memory of the Redis pod, in MiB; data may fill three quarters of its limit. ${unionDefaults.managedRedis.memoryMebibytes} if absent.`,
        ),
      storage: object({
        type: choice(['Persistent', 'Ephemeral'])
          .optional()
          .describe(
            `Persistent: a volume that outlives the pod. Ephemeral: what was learnt is lost with the pod. ${storage.type} if absent. Immutable.`,
          ),
        size: pattern(/^[1-9][0-9]{0,8}(Mi|Gi|Ti)$/, 12, 'a size such as 512Mi or 1Gi')
          .optional()
          .describe(`Size of the volume. It can grow where its StorageClass allows that. ${storage.size} if absent.`),
        storageClassName: objectName("Class of the volume; the cluster's default if absent. Immutable.").optional(),
        whenDeleted: choice(['Delete', 'Retain'])
          .optional()
          .describe(`What becomes of the volume when the pipeline is deleted. ${storage.whenDeleted} if absent.`),
      })
        .optional()
        .describe('Where the managed Redis keeps its data.'),
      backup: object({
        schedule: pattern(
          /^[-0-9A-Za-z*,/]{1,40}( [-0-9A-Za-z*,/]{1,40}){4}$/,
          204,
          'five fields such as "0 3 * * *"',
        ).describe('When, in the five fields of cron and UTC.'),
        claimName: objectName(
          'PersistentVolumeClaim that the backups are written to, in the namespace of the pipeline.',
        ),
        keep: integer(1, 1000).optional().describe('How many backups are kept. 7 if absent.'),
      })
        .optional()
        .describe('Copies of everything learnt, as a file of Redis (RDB), in the folder <namespace>_<pipeline>.'),
      restoreFrom: object({
        claimName: objectName('PersistentVolumeClaim with the backup, in the namespace of the pipeline.'),
        path: pattern(
          /^[a-zA-Z0-9_][-a-zA-Z0-9_.]*(\/[a-zA-Z0-9_][-a-zA-Z0-9_.]*)*$/,
          512,
          'a file or a folder of the claim, such as shop_payments',
        ).describe('A file, or a folder of which the newest file is taken.'),
      })
        .optional()
        .describe('What a new pipeline begins with. It can be removed later, and not be added.'),
      replicas: integer(1, 2)
        .optional()
        .describe(
          '2: a second pod has what the first has, and the operator lets it take over. A change restarts the workloads once. 1 if absent.',
        ),
      resources,
      template: object(templateFields).optional().describe('Changes to the pod.'),
    })
      .optional()
      .describe('A Redis of its own, which the operator runs. This is so if neither managed nor external is given.'),
    external: object({
      urlSecretRef: secretKeyRef(
        'Secret with the address: redis:// or rediss://[user:password@]host[:port][/database].',
      ),
      tls: tls('Redis'),
      keyPrefix: pattern(/^[-a-zA-Z0-9._:]+$/, 64, 'letters, digits, dot, underscore, colon and hyphen')
        .optional()
        .describe('What the names of all keys in Redis start with. anomaly:<namespace>:<name>: if absent.'),
    })
      .optional()
      .describe('A Redis that exists. Several pipelines may share it.'),
  }),
  notBoth('managed', 'external'),
  {
    message:
      'storage.size cannot become smaller: a volume never does; create another pipeline, and restore a backup there',
    cel: whereManaged(notSmaller('managed.storage.size', storage.size)),
  },
  {
    message: 'restoreFrom can be given only when the pipeline is created: what it learnt since would be lost',
    cel: '!has(self.managed) || !has(self.managed.restoreFrom) || (has(oldSelf.managed) && has(oldSelf.managed.restoreFrom) && self.managed.restoreFrom == oldSelf.managed.restoreFrom)',
  },
  {
    // The volume of a StatefulSet is fixed: another one begins empty.
    message: 'storage cannot be changed but for its size: another volume begins empty; create another pipeline',
    cel: whereManaged(
      [unchanged('managed.storage.type', storage.type), unchanged('managed.storage.storageClassName', '')].join(' && '),
    ),
  },
)

const stateSpec = object({
  redis: redisSpec.prefault({}).describe('Where profiles, calibration and models are kept.'),
  featureTtlSeconds: integer(1, 86_400)
    .default(300)
    .describe('How long the last features of a key stand in for features that a request left out.'),
  profileTtlSeconds: integer(60, 315_360_000)
    .default(2_592_000)
    .describe('How long the profile of a key without events is kept, and the name of a feature that no event carries.'),
})

// --- history --------------------------------------------------------------------------------------------------------

const historySpec = object({
  postgres: object({
    urlSecretRef: secretKeyRef('Secret with the address: postgresql://user:password@host[:port]/database.'),
    tls: tls('PostgreSQL'),
    retentionDays: integer(1, 366)
      .default(30)
      .describe('How many days verdicts and episodes are kept after they were published.'),
    keep: choice(['All', 'Alerts'])
      .default('All')
      .describe('All: every verdict that is published. Alerts: only those of anomalies.'),
  }).describe('A database of PostgreSQL 15 or later. Several pipelines may share it: each has a schema of its own.'),
})

// --- the workloads --------------------------------------------------------------------------------------------------

const autoscalingFields = (role: ScaledRole) => {
  const { minReplicas, maxReplicas, targetCpuPercent } = unionDefaults.scaling[role].autoscaling
  return {
    minReplicas: integer(0, 1000)
      .optional()
      .describe(`Fewest replicas; 0 only with mode External. ${minReplicas} if absent.`),
    maxReplicas: integer(1, 1000).optional().describe(`Most replicas. ${maxReplicas} if absent.`),
    targetCpuPercent: integer(1, 1000)
      .optional()
      .describe(`Average CPU in use by the container, in percent of what it requests. ${targetCpuPercent} if absent.`),
    behavior: anything()
      .optional()
      .describe("How fast it scales, as in a HorizontalPodAutoscaler; the operator's own if absent."),
  }
}

const scalingMode = 'External: an autoscaler of your own says how many there are, such as KEDA.'

const followsCpu = () =>
  choice(['Automatic', 'External'])
    .optional()
    .describe(`Automatic: an autoscaler by CPU. ${scalingMode} Automatic if absent.`)

interface Scale {
  readonly minReplicas?: number | undefined
  readonly maxReplicas?: number | undefined
  readonly mode?: string | undefined
}

const ordered = (role: ScaledRole) => {
  const { minReplicas, maxReplicas } = unionDefaults.scaling[role].autoscaling
  return {
    message: `minReplicas (${minReplicas} if absent) must not exceed maxReplicas (${maxReplicas} if absent)`,
    cel: `self.?minReplicas.orValue(${minReplicas}) <= self.?maxReplicas.orValue(${maxReplicas})`,
    holds: (scale: Scale) => (scale.minReplicas ?? minReplicas) <= (scale.maxReplicas ?? maxReplicas),
  }
}

/** The API server takes an HPA of none only where a feature gate is on that hardly anybody has on. */
const fewest = {
  message: 'minReplicas must be 1 or more, unless mode is External',
  cel: "self.?minReplicas.orValue(1) > 0 || self.?mode.orValue('') == 'External'",
  holds: ({ minReplicas = 1, mode }: Scale) => minReplicas > 0 || mode === 'External',
}

const replicas = (sentence: string, min = 0) =>
  integer(min, 1000).optional().describe(`A fixed number of replicas. ${sentence}`)

export const roles = ['consumer', 'inference', 'api', 'recorder'] as const
/** A workload that the pipeline runs. */
export type Role = (typeof roles)[number]
/** One whose replicas may follow its load. */
export type ScaledRole = Exclude<Role, 'recorder'>

const consumerSpec = constrain(
  object({
    replicas: replicas('Instead of autoscaling.', 1),
    autoscaling: constrain(
      object({
        ...autoscalingFields('consumer'),
        targetLag: integer(1, 1_000_000_000)
          .optional()
          .describe(
            `Events waiting in the topic that one replica may have before there are more. ${unionDefaults.scaling.consumer.autoscaling.targetLag} if absent.`,
          ),
        mode: choice(['Automatic', 'Recommend', 'External'])
          .optional()
          .describe(
            `Automatic: the lag raises the fewest replicas. Recommend: it only says in the status what it would do. ${scalingMode} ${unionDefaults.scaling.consumer.autoscaling.mode} if absent.`,
          ),
      }),
      ordered('consumer'),
      fewest,
    )
      .optional()
      .describe(
        'Replicas follow lag and CPU, up to the number of partitions. This is so if neither this nor replicas is given.',
      ),
    resources,
    template,
  }),
  notBoth('replicas', 'autoscaling'),
)

const inferenceSpec = constrain(
  object({
    replicas: replicas(`${unionDefaults.scaling.inference.replicas} if neither this nor autoscaling is given.`),
    autoscaling: constrain(
      object({ ...autoscalingFields('inference'), mode: followsCpu() }),
      ordered('inference'),
      fewest,
    )
      .optional()
      .describe('Replicas follow CPU. Instead of replicas.'),
    resources,
    template,
  }),
  notBoth('replicas', 'autoscaling'),
)

const oidcSpec = object({
  issuer: pattern(/^https?:\/\/[^\s@?#]+$/, 512, 'an address such as https://login.example.com').describe(
    'Address of the issuer, as its tokens name it.',
  ),
  clientId: text(256).describe('Client that the console signs people in with: a public one, with proof keys (PKCE).'),
  scopes: list(text(128).describe('A scope.'), 1, 16)
    .optional()
    .describe('Scopes that the console asks for. openid if absent.'),
  audiences: list(text(256).describe('An audience.'), 1, 16)
    .optional()
    .describe('Audiences of tokens that are taken beside the client id: those of programs.'),
})

const authSpec = constrain(
  object({
    mode: choice(['None', 'Bearer', 'Oidc'])
      .default('None')
      .describe(
        'None: anyone who reaches the API. Bearer: a token with each request. Oidc: a token of an issuer of OpenID Connect, which the console gets by signing people in.',
      ),
    secretRef: secretRef('For Bearer, and for programs beside Oidc: each entry of the Secret is a token.').optional(),
    oidc: oidcSpec.optional().describe('For Oidc: whose tokens are taken.'),
  }),
  {
    message: 'secretRef must be given with mode Bearer, and not with mode None',
    cel: `self.mode == 'Bearer' ? has(self.secretRef) : (self.mode == 'Oidc' || !has(self.secretRef))`,
    holds: ({ mode, secretRef }) =>
      mode === 'Bearer' ? secretRef !== undefined : mode === 'Oidc' || secretRef === undefined,
  },
  {
    message: 'oidc must be given with mode Oidc, and only then',
    cel: `(self.mode == 'Oidc') == has(self.oidc)`,
    holds: ({ mode, oidc }) => (mode === 'Oidc') === (oidc !== undefined),
  },
)

const apiSpec = constrain(
  object({
    replicas: replicas(`${unionDefaults.scaling.api.replicas} if neither this nor autoscaling is given.`),
    autoscaling: constrain(object({ ...autoscalingFields('api'), mode: followsCpu() }), ordered('api'), fewest)
      .optional()
      .describe('Replicas follow CPU. Instead of replicas.'),
    auth: authSpec.prefault({ mode: 'None' }).describe('Who may call the API.'),
    publishEvents: choice(['Enabled', 'Disabled'])
      .default('Enabled')
      .describe(
        'Enabled: events that come in by the API go to the topic of events with their verdict. Disabled: they are only scored.',
      ),
    externalUrl: pattern(/^https?:\/\/[^\s@?#]+$/, 512, 'an address such as https://anomaly.example.com')
      .optional()
      .describe('Where people reach the API and its console from outside: links in notifications begin with it.'),
    resources,
    template,
  }),
  notBoth('replicas', 'autoscaling'),
)

const recorderSpec = object({
  replicas: integer(0, 1000)
    .optional()
    .describe(
      `A fixed number of replicas, which share the partitions. ${unionDefaults.scaling.recorder.replicas} if absent.`,
    ),
  resources,
  template,
})

// --- notifications --------------------------------------------------------------------------------------------------

const receiverUrl = (what: string) =>
  pattern(/^https?:\/\/[^\s@#]+$/, 1024, 'an address such as https://example.com/hook, without a user').describe(what)

const whenClosed = () =>
  choice(['Tell', 'Silent']).optional().describe('Whether it is told as well when the episode is over. Tell if absent.')

/** Names of headers, in lower case, that a request has anyhow. */
const ownHeaders = ['content-type', 'content-length', 'host', 'connection', 'transfer-encoding', 'anomaly-signature']

const headers = constrain(
  map(pattern(/^[ -~]*$/, 1024, 'printable ASCII'), 16),
  {
    message: 'names of headers must be of letters, digits and hyphens',
    cel: `self.all(key, key.matches('^[A-Za-z0-9-]{1,64}$'))`,
    holds: (given) => Object.keys(given).every((name) => /^[A-Za-z0-9-]{1,64}$/.test(name)),
  },
  {
    message: `must not be ${ownHeaders.join(', ')}: a request has them anyhow`,
    cel: `self.all(key, !(key.lowerAscii() in [${ownHeaders.map((name) => `'${name}'`).join(', ')}]))`,
    holds: (given) => !Object.keys(given).some((name) => ownHeaders.includes(name.toLowerCase())),
  },
)

const notificationSpec = constrain(
  object({
    name: itemName('Name of the receiver in metrics, logs and status.'),
    webhook: constrain(
      object({
        url: receiverUrl('Where it is sent to. What is secret belongs into a Secret: urlSecretRef.').optional(),
        urlSecretRef: secretKeyRef('Secret with the address.').optional(),
        hmacSecretRef: secretKeyRef(
          'Secret with the key by which each request is signed: HMAC-SHA-256 in the header Anomaly-Signature.',
        ).optional(),
        headers: headers.optional().describe('Headers added to each request. None of them is secret.'),
        whenClosed: whenClosed(),
      }),
      exactlyOne('url', 'urlSecretRef'),
    )
      .optional()
      .describe('CloudEvents 1.0, JSON, in a POST.'),
    slack: object({
      urlSecretRef: secretKeyRef('Secret with the address of an incoming webhook of Slack.'),
      whenClosed: whenClosed(),
    })
      .optional()
      .describe('A message in a channel of Slack, or of what takes its webhooks.'),
    alertmanager: constrain(
      object({
        url: receiverUrl('Address of Alertmanager, such as http://alertmanager:9093; /api/v2/alerts is added.'),
        basicSecretRef: secretRef('Secret with the entries username and password.').optional(),
        bearerSecretRef: secretKeyRef('Secret with a token.').optional(),
      }),
      notBoth('basicSecretRef', 'bearerSecretRef'),
    )
      .optional()
      .describe('An alert of Alertmanager, which fires while the episode is open.'),
    pagerduty: object({
      routingKeySecretRef: secretKeyRef('Secret with the integration key of a service, Events API v2.'),
      url: receiverUrl(
        "Where events are sent to. https://events.pagerduty.com/v2/enqueue if absent; Europe's is https://events.eu.pagerduty.com/v2/enqueue.",
      ).optional(),
    })
      .optional()
      .describe('An incident of PagerDuty, which is resolved when the episode is over.'),
    minScore: pattern(/^0\.[0-9]{1,15}$/, 17, 'an anomaly score between 0 and 1 in quotes, such as "0.9999"')
      .optional()
      .describe('Only episodes whose peak score has reached it are told, and those of a rule. All if absent.'),
    keys: list(
      pattern(/^([^*]+\*?|\*)$/, 256, 'a key, or the start of keys followed by *').describe(
        'A key, or the start of keys followed by *.',
      ),
      1,
      64,
    )
      .optional()
      .describe('Only episodes of these keys are told. All, and those of the whole stream, if absent.'),
    reasons: list(
      pattern(/^([^*]+\*?|\*)$/, 256, 'the name of a feature, or the start of names followed by *').describe(
        'value, interval or the name of a feature, or the start of names followed by *; also the name of a rule.',
      ),
      1,
      64,
    )
      .optional()
      .describe('Only episodes with one of these among their reasons are told. All if absent.'),
    repeatAfterSeconds: integer(60, 2_592_000)
      .optional()
      .describe('Told again each time that an episode has been open for so long. Once if absent.'),
  }),
  exactlyOne('webhook', 'slack', 'alertmanager', 'pagerduty'),
  {
    message: 'repeatAfterSeconds does not go with alertmanager: it has a repeat_interval of its own',
    cel: '!(has(self.alertmanager) && has(self.repeatAfterSeconds))',
    holds: ({ alertmanager, repeatAfterSeconds }) => alertmanager === undefined || repeatAfterSeconds === undefined,
  },
)

// --- network --------------------------------------------------------------------------------------------------------

const networkSpec = object({
  policy: choice(['Ingress', 'IngressAndEgress', 'Disabled'])
    .default('Ingress')
    .describe(
      'Ingress: pods take connections only on the ports that are for others. IngressAndEgress: they also connect only to each other, to DNS and to what egress lists. Disabled: there are no NetworkPolicies.',
    ),
  egress: list(
    object({
      cidr: pattern(/^[0-9a-fA-F.:]+\/[0-9]{1,3}$/, 43, 'a range of addresses such as 10.0.0.0/8').describe(
        'Range of addresses.',
      ),
      ports: list(integer(1, 65_535).describe('TCP port.'), 1, 32).describe('TCP ports.'),
    }).describe('Addresses that may be connected to.'),
    0,
    64,
  )
    .default([])
    .describe(
      'For IngressAndEgress: where the brokers, an external Redis, the PostgreSQL of the history and the receivers of notifications and traces are. Every workload may connect there.',
    ),
})

// --- monitoring -----------------------------------------------------------------------------------------------------

const monitoringSpec = object({
  serviceMonitor: object({
    labels: ownLabels.optional().describe('Labels added, by which a Prometheus selects it.'),
    interval: pattern(/^([0-9]{1,4}(ms|s|m|h))+$/, 16, 'a duration such as 30s')
      .default('15s')
      .describe('How often it is scraped.'),
    relabelings: parts('Changes to the labels of what is scraped, as in a ServiceMonitor.', 'A rule.', 32),
    metricRelabelings: parts('Changes to the labels of metrics, as in a ServiceMonitor.', 'A rule.', 32),
  })
    .prefault({})
    .describe('The ServiceMonitor that there is where the Prometheus operator is installed.'),
})

// --- the whole ------------------------------------------------------------------------------------------------------

export const pipelineSpec = constrain(
  object({
    source: sourceSpec.describe('Where events come from.'),
    event: eventSpec.prefault({}).describe('Where each field is in the JSON of an event.'),
    detection: detectionSpec.prefault({}).describe('What is called an anomaly.'),
    results: resultsSpec.prefault({}).describe('Where verdicts go.'),
    state: stateSpec.prefault({}).describe('Where what was learnt is kept.'),
    history: historySpec
      .optional()
      .describe('Where verdicts and episodes are kept for later. Only alerts in Redis, for a while, if absent.'),
    consumer: consumerSpec.prefault({}).describe('The workload that reads events from Kafka.'),
    inference: inferenceSpec.prefault({}).describe('The workload that scores rows with the model.'),
    api: apiSpec.prefault({}).describe('The workload that answers requests over HTTP.'),
    recorder: recorderSpec
      .prefault({})
      .describe('The workload that writes the history and sends notifications; there is none without either.'),
    notifications: listMap(
      notificationSpec.describe(
        'A receiver, exactly one of webhook, slack, alertmanager and pagerduty, and what it is told.',
      ),
      'name',
      0,
      16,
    )
      .optional()
      .describe('Who is told of episodes, once each. Needs results.episodesTopic.'),
    monitoring: monitoringSpec.prefault({}).describe('How the pods are monitored.'),
    network: networkSpec.prefault({}).describe('Which connections NetworkPolicies allow.'),
    desiredState: choice(['Running', 'Paused'])
      .default('Running')
      .describe('Paused: no workload runs, and everything learnt and every offset is kept.'),
  }),
  {
    message: 'event.secondaryKeys needs detection.feedback: nothing else reads it',
    cel: '!has(self.event.secondaryKeys) || has(self.detection.feedback)',
    holds: ({ event, detection }) => event.secondaryKeys === undefined || detection.feedback !== undefined,
  },
  {
    message: 'notifications need results.episodesTopic: they tell of what is published there',
    cel: '!has(self.notifications) || self.notifications.size() == 0 || has(self.results.episodesTopic)',
    holds: ({ notifications = [], results }) => notifications.length === 0 || results.episodesTopic !== undefined,
  },
)

/** Names of children add up to 23 characters to the pipeline's and must stay below 64. */
const pipelineName = pattern(
  /^[a-z]([-a-z0-9]*[a-z0-9])?$/,
  40,
  'lower-case letters, digits and hyphens, starting with a letter, at most 40 characters',
)

/** What else a cluster keeps with an object; read by nobody here, and no reason to refuse a document that has it. */
const otherMetadata = [
  'annotations',
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'finalizers',
  'generateName',
  'generation',
  'labels',
  'managedFields',
  'ownerReferences',
  'resourceVersion',
  'selfLink',
  'uid',
] as const

type ResultsTopic = keyof typeof resultsSuffixes
interface Stated {
  readonly metadata: { readonly name: string }
  readonly spec: z.output<typeof pipelineSpec>
}

const topicOf = ({ metadata, spec }: Stated, which: ResultsTopic): string =>
  spec.results[which] ?? `${metadata.name}${resultsSuffixes[which]}`
/** The same in CEL. */
const celTopicOf = (which: ResultsTopic): string =>
  `(has(self.spec.results.${which}) ? self.spec.results.${which} : self.metadata.name + '${resultsSuffixes[which]}')`

const [celVerdicts, celDeadLetters] = [celTopicOf('topic'), celTopicOf('deadLetterTopic')]
const celTaken = `[self.spec.source.topic, ${celVerdicts}, ${celDeadLetters}]`
const taken = (document: Stated): (string | undefined)[] => [
  document.spec.source.topic,
  topicOf(document, 'topic'),
  topicOf(document, 'deadLetterTopic'),
]

/** Rules that need the name of the pipeline. */
const documentRules: readonly Constraint<Stated>[] = [
  {
    message: 'source.topic, results.topic and results.deadLetterTopic must be three topics',
    cel: `self.spec.source.topic != ${celVerdicts} && self.spec.source.topic != ${celDeadLetters} && ${celVerdicts} != ${celDeadLetters}`,
    holds: (document) => new Set(taken(document)).size === 3,
    at: 'spec',
  },
  {
    message: 'detection.feedback.topic must be a topic of its own',
    cel: `!has(self.spec.detection.feedback) || !has(self.spec.detection.feedback.topic) || !(self.spec.detection.feedback.topic in ${celTaken}) && (!has(self.spec.results.episodesTopic) || self.spec.detection.feedback.topic != self.spec.results.episodesTopic)`,
    holds: (document) => {
      const { results, detection } = document.spec
      const topic = detection.feedback?.topic
      return topic === undefined || ![...taken(document), results.episodesTopic].includes(topic)
    },
    at: 'spec',
  },
  {
    message: 'results.episodesTopic must be a topic of its own',
    cel: `!has(self.spec.results.episodesTopic) || !(self.spec.results.episodesTopic in ${celTaken})`,
    holds: (document) =>
      document.spec.results.episodesTopic === undefined ||
      !taken(document).includes(document.spec.results.episodesTopic),
    at: 'spec',
  },
]

/** The whole document as a person writes it or as a cluster returns it. */
const statedDocument = object({
  apiVersion: z.literal(apiVersion),
  kind: z.literal(kind),
  metadata: object({
    ...(Object.fromEntries(otherMetadata.map((field) => [field, z.unknown().optional()])) as Record<
      (typeof otherMetadata)[number],
      z.ZodOptional<z.ZodUnknown>
    >),
    name: pipelineName,
    namespace: pattern(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 63, 'the name of a namespace').default('default'),
  }),
  spec: pipelineSpec.describe('The pipeline as it should be.'),
  status: z.unknown().optional(),
})

export const pipelineDocument = constrain(statedDocument, ...documentRules).transform((document) => {
  const { name, namespace, generation } = document.metadata
  // A file says of which generation it is; a person does not.
  const metadata = { name, namespace, ...(typeof generation === 'number' ? { generation } : {}) }
  const results = (document.status as { results?: Partial<Record<string, string>> } | undefined)?.results
  const topic = (which: ResultsTopic): string =>
    document.spec.results[which] === undefined && results?.[which] === formerResults[which]
      ? formerResults[which]
      : topicOf(document, which)
  const spec = {
    ...document.spec,
    results: { ...document.spec.results, topic: topic('topic'), deadLetterTopic: topic('deadLetterTopic') },
  }
  return { apiVersion, kind, metadata, spec }
})

/** A valid pipeline with its static defaults. */
export type Pipeline = Plain<z.output<typeof pipelineDocument>>
export type PipelineSpec = Pipeline['spec']
export type EventMapping = PipelineSpec['event']
export type DetectionSpec = PipelineSpec['detection']
export type Rule = DetectionSpec['rules'][number]
export type Notification = NonNullable<PipelineSpec['notifications']>[number]
