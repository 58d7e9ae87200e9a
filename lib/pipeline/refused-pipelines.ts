/** Documents that break one rule each: the tests hold a laptop and an API server against the same list. */

const source = { brokers: ['kafka:9092'] }
const forest = (options: object) => ({ detectors: [{ name: 'forest', isolationForest: options }] })
const external = { urlSecretRef: { name: 'redis', key: 'url' } }

const slack = { slack: { urlSecretRef: { name: 'slack', key: 'url' } } }
const told = (notification: object, results: object = { episodesTopic: 'episodes' }) => ({
  source,
  results,
  notifications: [{ name: 'chat', ...notification }],
})

export interface RefusedPipeline {
  readonly what: string
  readonly metadata?: object
  readonly spec: object
  /** Path of the field at fault, as both write it. */
  readonly field: string
  /** What is said of it on a laptop. */
  readonly message: string
}

/** Broken in one field: in a cluster the API server says so in its own words. */
export const outOfBounds: readonly RefusedPipeline[] = [
  {
    what: 'a number below its least',
    spec: { source, detection: forest({ trees: 0 }) },
    field: 'spec.detection.detectors[0].isolationForest.trees',
    message: '0 must be between 10 and 1000',
  },
  {
    what: 'a number above its most',
    spec: { source, detection: { alertBudgetPerMillion: 1_000_001 } },
    field: 'spec.detection.alertBudgetPerMillion',
    message: '1000001 must be between 1 and 1000000',
  },
  {
    what: 'a time without its zone',
    spec: { source: { ...source, learnOnlyBefore: '2026-01-31 00:00:00' } },
    field: 'spec.source.learnOnlyBefore',
    message: '"2026-01-31 00:00:00" must be an RFC 3339 time such as 2026-01-31T00:00:00Z',
  },
  {
    what: 'a mute without an end',
    spec: { source, detection: { mutes: [{ keys: ['user-1'], until: 'tomorrow' }] } },
    field: 'spec.detection.mutes[0].until',
    message: '"tomorrow" must be an RFC 3339 time such as 2026-01-31T00:00:00Z',
  },
  {
    what: 'a number with a fraction',
    spec: { source, detection: { refractorySeconds: 1.5 } },
    field: 'spec.detection.refractorySeconds',
    message: '1.5 must be a whole number between 0 and 604800',
  },
  {
    what: 'a float where API conventions want a string',
    spec: { source, detection: { threshold: 0.988 } },
    field: 'spec.detection.threshold',
    message: '0.988 must be an anomaly score between 0 and 1 in quotes, such as "0.988"',
  },
  {
    what: 'a string that is no number',
    spec: { source, detection: { rules: [{ name: 'limit', field: 'value', above: '1e3' }] } },
    field: 'spec.detection.rules[0].above',
    message: '"1e3" must be a decimal number in quotes, such as "100" or "0.5"',
  },
  {
    what: 'an address with a password in it',
    spec: told({ webhook: { url: 'https://me:secret@example.com/hook' } }),
    field: 'spec.notifications[0].webhook.url',
    message: '"https://me:secret@example.com/hook" must be an address such as https://example.com/hook, without a user',
  },
  {
    what: 'a word that is none of the choices',
    spec: { source: { ...source, startFrom: 'latest' } },
    field: 'spec.source.startFrom',
    message: '"latest" must be one of Earliest, Latest, did you mean "Latest"?',
  },
  {
    what: 'a broker without a port',
    spec: { source: { brokers: ['kafka'] } },
    field: 'spec.source.brokers[0]',
    message: '"kafka" must be host:port',
  },
  {
    what: 'no broker',
    spec: { source: { brokers: [] } },
    field: 'spec.source.brokers',
    message: 'must have 1 to 32 items',
  },
  {
    what: 'too many rules',
    spec: {
      source,
      detection: { rules: Array.from({ length: 33 }, (_, i) => ({ name: `r${i}`, field: 'value', above: '1' })) },
    },
    field: 'spec.detection.rules',
    message: 'must have at most 32 items',
  },
  { what: 'no source', spec: {}, field: 'spec.source', message: 'is required' },
  {
    what: 'a list where one value belongs',
    spec: { source: { ...source, topic: ['a', 'b'] } },
    field: 'spec.source.topic',
    message: 'must be the name of a Kafka topic: letters, digits, dot, underscore and hyphen',
  },
  {
    what: 'a value where an object belongs',
    spec: { source, event: 'json' },
    field: 'spec.event',
    message: '"json" must be an object',
  },
  {
    what: 'a text that is too long',
    spec: { source, api: { template: { nodeSelector: { zone: 'z'.repeat(64) } } } },
    field: 'spec.api.template.nodeSelector.zone',
    message: `"${'z'.repeat(64)}" must have at most 63 characters`,
  },
  {
    what: 'too many entries',
    spec: {
      source,
      api: { template: { annotations: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`a${i}`, ''])) } },
    },
    field: 'spec.api.template.annotations',
    message: 'must have at most 32 entries',
  },
  {
    what: 'an amount that is none',
    spec: { source, api: { resources: { requests: { cpu: 'plenty' } } } },
    field: 'spec.api.resources.requests.cpu',
    message: '"plenty" must be a quantity such as 500m, 2 or 1Gi',
  },
  {
    what: 'an amount below nothing',
    spec: { source, api: { resources: { requests: { cpu: -1 } } } },
    field: 'spec.api.resources.requests.cpu',
    message: '-1 must be between 0 and 9007199254740991',
  },
  {
    what: 'a name that its children could not have',
    metadata: { name: 'Payments.v2' },
    spec: { source },
    field: 'metadata.name',
    message:
      '"Payments.v2" must be lower-case letters, digits and hyphens, starting with a letter, at most 40 characters',
  },
  {
    what: 'a name that leaves no room for those of its children',
    metadata: { name: 'a'.repeat(41) },
    spec: { source },
    field: 'metadata.name',
    message: `"${'a'.repeat(41)}" must be lower-case letters, digits and hyphens, starting with a letter, at most 40 characters`,
  },
  {
    what: 'two rules of one name',
    spec: {
      source,
      detection: {
        rules: [
          { name: 'limit', field: 'value', above: '1' },
          { name: 'limit', field: 'value', below: '0' },
        ],
      },
    },
    field: 'spec.detection.rules[1]',
    message: 'must differ from the others by its name, not "limit" again',
  },
]

/** Fields that contradict each other: both say so in the same words. */
export const contradictory: readonly RefusedPipeline[] = [
  {
    what: 'a calendar in a time zone that does not exist',
    spec: {
      source,
      detection: { calendars: [{ name: 'batch', timeZone: 'Mars/Olympus', weekly: [{ from: '02:00', to: '03:00' }] }] },
    },
    field: 'spec.detection.calendars[0]',
    message: 'timeZone must be one that exists, such as Europe/Berlin',
  },
  {
    what: 'a calendar without a time',
    spec: { source, detection: { calendars: [{ name: 'batch' }] } },
    field: 'spec.detection.calendars[0]',
    message: 'exactly one of spans, weekly must be given',
  },
  {
    what: 'a span of a calendar that ends before it begins',
    spec: {
      source,
      detection: {
        calendars: [{ name: 'sale', spans: [{ from: '2026-11-28T00:00:00Z', to: '2026-11-27T00:00:00Z' }] }],
      },
    },
    field: 'spec.detection.calendars[0].spans[0]',
    message: 'must end after it begins',
  },
  {
    what: 'a model of two places',
    spec: {
      source,
      detection: {
        detectors: [
          {
            name: 'own',
            onnx: { from: { file: '/m.onnx', configMap: { name: 'm', key: 'm.onnx' } }, inputs: ['value'] },
          },
        ],
      },
    },
    field: 'spec.detection.detectors[0].onnx.from',
    message: 'exactly one of configMap, persistentVolumeClaim, file must be given',
  },
  {
    what: 'a variable with two values',
    spec: { source, api: { template: { env: [{ name: 'A', value: '1', valueFrom: {} }] } } },
    field: 'spec.api.template.env[0]',
    message: 'exactly one of value, valueFrom must be given',
  },
  {
    what: 'a ServiceAccount that exists and is made',
    spec: {
      source,
      state: { redis: { managed: { template: { serviceAccount: { name: 'a', annotations: { b: 'c' } } } } } },
    },
    field: 'spec.state.redis.managed.template.serviceAccount',
    message: 'exactly one of name, annotations must be given',
  },
  {
    what: 'an autoscaler that goes to none',
    spec: { source, inference: { autoscaling: { minReplicas: 0 } } },
    field: 'spec.inference.autoscaling',
    message: 'minReplicas must be 1 or more, unless mode is External',
  },
  {
    what: 'a detector without an algorithm',
    spec: { source, detection: { detectors: [{ name: 'none' }] } },
    field: 'spec.detection.detectors[0]',
    message: 'exactly one of profile, isolationForest, discord, onnx must be given',
  },
  {
    what: 'a detector with two algorithms',
    spec: { source, detection: { detectors: [{ name: 'both', profile: {}, discord: {} }] } },
    field: 'spec.detection.detectors[0]',
    message: 'exactly one of profile, isolationForest, discord, onnx must be given',
  },
  {
    what: 'a derived feature that is made in two ways',
    spec: {
      source,
      detection: { derivedFeatures: [{ name: 'both', sinceLast: {}, count: { window: '1h' } }] },
    },
    field: 'spec.detection.derivedFeatures[0]',
    message: 'exactly one of count, sum, sinceLast, ratio, change must be given',
  },
  {
    what: 'a rule with no limit',
    spec: { source, detection: { rules: [{ name: 'limit', field: 'value' }] } },
    field: 'spec.detection.rules[0]',
    message: 'exactly one of above, below must be given',
  },
  {
    what: 'a rule with two limits',
    spec: { source, detection: { rules: [{ name: 'limit', field: 'value', above: '1', below: '0' }] } },
    field: 'spec.detection.rules[0]',
    message: 'exactly one of above, below must be given',
  },
  {
    what: 'a budget and a threshold',
    spec: { source, detection: { alertBudgetPerMillion: 10, threshold: '0.9' } },
    field: 'spec.detection',
    message: 'alertBudgetPerMillion and threshold exclude each other',
  },
  {
    what: 'a budget twice',
    spec: { source, detection: { alertBudgetPerMillion: 10, alertBudget: { mode: 'Ceiling' } } },
    field: 'spec.detection',
    message: 'alertBudget and alertBudgetPerMillion exclude each other',
  },
  {
    what: 'a budget as an object and a threshold',
    spec: { source, detection: { alertBudget: { perMillion: 10 }, threshold: '0.9' } },
    field: 'spec.detection',
    message: 'alertBudget and threshold exclude each other',
  },
  {
    what: 'features in an object and flat',
    spec: { source, event: { features: 'features', featureFields: ['x*'] } },
    field: 'spec.event',
    message: 'features and featureFields exclude each other',
  },
  {
    what: 'a notification without a receiver',
    spec: told({ minScore: '0.99' }),
    field: 'spec.notifications[0]',
    message: 'exactly one of webhook, slack, alertmanager, pagerduty must be given',
  },
  {
    what: 'a notification with two receivers',
    spec: told({ ...slack, webhook: { url: 'https://example.com' } }),
    field: 'spec.notifications[0]',
    message: 'exactly one of webhook, slack, alertmanager, pagerduty must be given',
  },
  {
    what: 'a webhook without an address',
    spec: told({ webhook: { whenClosed: 'Tell' } }),
    field: 'spec.notifications[0].webhook',
    message: 'exactly one of url, urlSecretRef must be given',
  },
  {
    what: 'a header that a request has anyhow',
    spec: told({ webhook: { url: 'https://example.com', headers: { 'Content-Type': 'text/plain' } } }),
    field: 'spec.notifications[0].webhook.headers',
    message:
      'must not be content-type, content-length, host, connection, transfer-encoding, anomaly-signature: a request has them anyhow',
  },
  {
    what: 'a header whose name is none',
    spec: told({ webhook: { url: 'https://example.com', headers: { 'X Team': 'risk' } } }),
    field: 'spec.notifications[0].webhook.headers',
    message: 'names of headers must be of letters, digits and hyphens',
  },
  {
    what: 'a reminder for what repeats by itself',
    spec: told({ alertmanager: { url: 'http://alertmanager:9093' }, repeatAfterSeconds: 3600 }),
    field: 'spec.notifications[0]',
    message: 'repeatAfterSeconds does not go with alertmanager: it has a repeat_interval of its own',
  },
  {
    what: 'two ways to log in to Alertmanager',
    spec: told({
      alertmanager: {
        url: 'http://alertmanager:9093',
        basicSecretRef: { name: 'login' },
        bearerSecretRef: { name: 'token', key: 'token' },
      },
    }),
    field: 'spec.notifications[0].alertmanager',
    message: 'basicSecretRef and bearerSecretRef exclude each other',
  },
  {
    what: 'notifications without the topic that they tell of',
    spec: told(slack, {}),
    field: 'spec',
    message: 'notifications need results.episodesTopic: they tell of what is published there',
  },
  {
    what: 'a managed and an external Redis',
    spec: { source, state: { redis: { managed: {}, external } } },
    field: 'spec.state.redis',
    message: 'managed and external exclude each other',
  },
  ...(['consumer', 'inference', 'api'] as const).flatMap((role) => [
    {
      what: `replicas and autoscaling of ${role}`,
      spec: { source, [role]: { replicas: 1, autoscaling: {} } },
      field: `spec.${role}`,
      message: 'replicas and autoscaling exclude each other',
    },
    {
      what: `more replicas at least than at most of ${role}`,
      spec: { source, [role]: { autoscaling: { minReplicas: 9 } } },
      field: `spec.${role}.autoscaling`,
      message: `minReplicas (${role === 'consumer' ? 1 : 2} if absent) must not exceed maxReplicas (8 if absent)`,
    },
    {
      what: `a label of the operator's on ${role}`,
      spec: { source, [role]: { template: { labels: { 'app.kubernetes.io/name': 'mine' } } } },
      field: `spec.${role}.template.labels`,
      message: "must not begin with app.kubernetes.io/ or anomaly.com/: these labels are the operator's",
    },
  ]),
  {
    what: 'an issuer that nobody is sent to',
    spec: {
      source,
      api: { auth: { mode: 'None', oidc: { issuer: 'https://login.example.com', clientId: 'console' } } },
    },
    field: 'spec.api.auth',
    message: 'oidc must be given with mode Oidc, and only then',
  },
  {
    what: 'tokens without a Secret',
    spec: { source, api: { auth: { mode: 'Bearer' } } },
    field: 'spec.api.auth',
    message: 'secretRef must be given with mode Bearer, and not with mode None',
  },
  {
    what: 'a Secret of tokens that nobody asks for',
    spec: { source, api: { auth: { secretRef: { name: 'tokens' } } } },
    field: 'spec.api.auth',
    message: 'secretRef must be given with mode Bearer, and not with mode None',
  },
  {
    what: 'verdicts published to the topic that they are about',
    spec: { source, results: { topic: 'anomaly-events' } },
    field: 'spec',
    message: 'source.topic, results.topic and results.deadLetterTopic must be three topics',
  },
  {
    what: 'events read from where verdicts go by default',
    spec: { source: { ...source, topic: 'payments-dead-letters' } },
    field: 'spec',
    message: 'source.topic, results.topic and results.deadLetterTopic must be three topics',
  },
  {
    what: 'episodes published among the verdicts',
    spec: { source, results: { episodesTopic: 'payments-verdicts' } },
    field: 'spec',
    message: 'results.episodesTopic must be a topic of its own',
  },
  {
    what: 'secondary keys that nobody reads',
    spec: { source, event: { secondaryKeys: ['terminal'] } },
    field: 'spec',
    message: 'event.secondaryKeys needs detection.feedback: nothing else reads it',
  },
  {
    what: 'feedback read from among the events',
    spec: { source, detection: { feedback: { topic: 'anomaly-events' } } },
    field: 'spec',
    message: 'detection.feedback.topic must be a topic of its own',
  },
]

/** Changes that would leave behind what was learnt: only a cluster knows of a change. */
export const refusedChanges: readonly (RefusedPipeline & { readonly before: object })[] = [
  {
    what: 'a smaller volume',
    before: { source, state: { redis: { managed: { storage: { size: '2Gi' } } } } },
    spec: { source, state: { redis: { managed: { storage: { size: '1Gi' } } } } },
    field: 'spec.state.redis',
    message:
      'storage.size cannot become smaller: a volume never does; create another pipeline, and restore a backup there',
  },
  {
    what: 'a backup over what was learnt',
    before: { source },
    spec: { source, state: { redis: { managed: { restoreFrom: { claimName: 'backups', path: 'a_b' } } } } },
    field: 'spec.state.redis',
    message: 'restoreFrom can be given only when the pipeline is created: what it learnt since would be lost',
  },
  {
    what: 'another topic',
    before: { source },
    spec: { source: { ...source, topic: 'other' } },
    field: 'spec.source.topic',
    message: 'cannot be changed: what was learnt belongs to the topic; create another pipeline',
  },
  {
    what: 'another consumer group',
    before: { source: { ...source, groupId: 'one' } },
    spec: { source: { ...source, groupId: 'two' } },
    field: 'spec.source.groupId',
    message: 'cannot be changed: the committed offsets belong to the group; create another pipeline',
  },
  {
    what: 'a consumer group where there was the default',
    before: { source },
    spec: { source: { ...source, groupId: 'two' } },
    field: 'spec.source.groupId',
    message: 'cannot be changed: the committed offsets belong to the group; create another pipeline',
  },
  {
    what: 'another key',
    before: { source },
    spec: { source, event: { key: 'card' } },
    field: 'spec.event.key',
    message: 'cannot be changed: what was learnt belongs to the keys; create another pipeline',
  },
  ...[{ type: 'Ephemeral' }, { storageClassName: 'fast' }].map((storage) => ({
    what: `another ${Object.keys(storage)} of the volume`,
    before: { source },
    spec: { source, state: { redis: { managed: { storage } } } },
    field: 'spec.state.redis',
    message: 'storage cannot be changed but for its size: another volume begins empty; create another pipeline',
  })),
]

/** Changes that leave everything learnt where it is. */
export const allowedChanges: readonly { readonly what: string; readonly before: object; readonly after: object }[] = [
  { what: 'other brokers', before: { source }, after: { source: { brokers: ['other:9092'] } } },
  { what: 'the other partitioner', before: { source }, after: { source: { ...source, partitioner: 'Crc32' } } },
  {
    what: 'the default storage said in words',
    before: { source },
    after: { source, state: { redis: { managed: { storage: { type: 'Persistent', size: '1Gi' } } } } },
  },
  {
    what: 'the address of the external Redis moved',
    before: { source, state: { redis: { external } } },
    after: { source, state: { redis: { external: { urlSecretRef: { name: 'redis-2', key: 'url' } } } } },
  },
  {
    what: 'an external Redis where there was a managed one',
    before: { source, state: { redis: { managed: { storage: { type: 'Ephemeral', size: '2Gi' } } } } },
    after: { source, state: { redis: { managed: null, external } } },
  },
  {
    what: 'a managed Redis where there was an external one',
    before: { source, state: { redis: { external } } },
    after: { source, state: { redis: { external: null, managed: { storage: { storageClassName: 'fast' } } } } },
  },
  {
    what: 'another prefix in a shared Redis',
    before: { source, state: { redis: { external } } },
    after: { source, state: { redis: { external: { ...external, keyPrefix: 'mine:' } } } },
  },
  {
    what: 'autoscaling in place of replicas',
    before: { source, consumer: { replicas: 3 } },
    after: { source, consumer: { autoscaling: {} } },
  },
  {
    what: 'a larger volume',
    before: { source, state: { redis: { managed: { storage: { size: '900Mi' } } } } },
    after: { source, state: { redis: { managed: { storage: { size: '1Gi' } } } } },
  },
  {
    what: 'a second Redis pod',
    before: { source },
    after: { source, state: { redis: { managed: { replicas: 2 } } } },
  },
  {
    what: 'a backup that it began with no longer named',
    before: { source, state: { redis: { managed: { restoreFrom: { claimName: 'backups', path: 'a_b' } } } } },
    after: { source, state: { redis: { managed: { restoreFrom: null } } } },
  },
  { what: 'a pause', before: { source }, after: { source, desiredState: 'Paused' } },
]
