import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { expect } from 'chai'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { desired, type Observed } from './desired.ts'
import { redisCopy } from './redis-copy.ts'
import { planReplicas } from './replicas.ts'
import { amountOf, type Resources } from './resources.ts'
import { testObserved, testParent } from './test-parent.ts'

const settings = { workloadImage: 'anomaly:1', redisImage: 'redis:8', logLevel: 'info' }
const autoscaled = { mark: 'autoscaled', autoscaler: true }

/** Everything that a document can ask for at once. */
const full = {
  source: {
    brokers: ['kafka:9093'],
    tls: { caSecretRef: { name: 'kafka-ca', key: 'ca.pem' }, certificateSecretRef: { name: 'kafka-client' } },
    sasl: { mechanism: 'ScramSha512', secretRef: { name: 'kafka-user' } },
    schemaRegistry: { url: 'https://registry:8081', secretRef: { name: 'registry-user' } },
  },
  state: {
    redis: {
      external: {
        urlSecretRef: { name: 'redis', key: 'address' },
        tls: { caSecretRef: { name: 'redis-ca', key: 'ca.crt' }, certificateSecretRef: { name: 'redis-client' } },
      },
    },
  },
  detection: {
    detectors: [
      { name: 'forest', isolationForest: {} },
      { name: 'mine', onnx: { from: { configMap: { name: 'models', key: 'a.onnx' } }, inputs: ['value'] } },
      {
        name: 'large',
        onnx: { from: { persistentVolumeClaim: { claimName: 'models', path: 'b.onnx' } }, inputs: ['value'] },
      },
    ],
  },
  consumer: {
    autoscaling: { minReplicas: 2, maxReplicas: 6, targetCpuPercent: 60, targetLag: 500 },
    resources: { requests: { cpu: 2, memory: '2Gi' } },
    template: {
      labels: { team: 'risk' },
      annotations: { note: 'x' },
      nodeSelector: { disk: 'ssd' },
      tolerations: [{ key: 'batch', operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      priorityClassName: 'high',
      env: [
        { name: 'NODE_OPTIONS', value: '--max-old-space-size=1024' },
        { name: 'ANOMALY_REDIS_URL', value: 'redis://elsewhere' },
        { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'other', key: 'password' } } },
      ],
      topologySpreadConstraints: [{ maxSkew: 2, topologyKey: 'rack', whenUnsatisfiable: 'DoNotSchedule' }],
      schedulerName: 'batch',
      runtimeClassName: 'gvisor',
      securityContext: {},
      containerSecurityContext: { readOnlyRootFilesystem: true },
      volumes: [{ name: 'scratch', emptyDir: {} }],
      volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }],
      initContainers: [{ name: 'wait', image: 'wait:1', restartPolicy: 'Always' }],
      sidecars: [{ name: 'proxy', image: 'proxy:1' }],
      imagePullPolicy: 'Always',
      imagePullSecrets: [{ name: 'own-registry' }],
      serviceAccount: { annotations: { 'iam.example.com/role': 'consumer' } },
      terminationGracePeriodSeconds: 120,
      logLevel: 'debug',
      logFormat: 'Text',
    },
  },
  history: {
    postgres: {
      urlSecretRef: { name: 'history', key: 'address' },
      tls: { caSecretRef: { name: 'history-ca', key: 'ca.crt' }, certificateSecretRef: { name: 'history-client' } },
    },
  },
  results: { episodesTopic: 'episodes' },
  notifications: [
    { name: 'chat', slack: { urlSecretRef: { name: 'receivers', key: 'slack' } } },
    { name: 'pager', pagerduty: { routingKeySecretRef: { name: 'receivers', key: 'pagerduty' } } },
    { name: 'alerts', alertmanager: { url: 'http://am:9093', basicSecretRef: { name: 'am' } } },
  ],
  recorder: { resources: { limits: { memory: '1Gi' } }, template: { labels: { team: 'records' } } },
  inference: {
    autoscaling: { maxReplicas: 5, behavior: { scaleDown: { selectPolicy: 'Disabled' } } },
    template: { serviceAccount: { name: 'existing' } },
  },
  monitoring: {
    serviceMonitor: {
      labels: { release: 'prometheus' },
      interval: '30s',
      relabelings: [{ targetLabel: 'cluster', replacement: 'a' }],
    },
  },
  api: { replicas: 3, auth: { mode: 'Bearer', secretRef: { name: 'tokens' } } },
  network: { policy: 'IngressAndEgress', egress: [{ cidr: '10.0.0.0/8', ports: [9093, 6379] }] },
}

const { pipeline: shared } = testParent({
  state: full.state,
  consumer: { template: { nodeSelector: { disk: 'ssd' } } },
})

const cases: Readonly<Record<string, { spec: object; observed?: Partial<Observed> }>> = {
  'a-line': { spec: {} },
  everything: {
    spec: full,
    observed: {
      replicas: {
        consumer: autoscaled,
        inference: autoscaled,
        api: { replicas: 3, mark: 'fixed', autoscaler: false },
        recorder: { replicas: 1, mark: 'fixed', autoscaler: false },
      },
      consumerBounds: { minReplicas: 4, maxReplicas: 6 },
      servesMonitors: true,
      restartAt: '2025-05-01',
    },
  },
  'redis-pair': {
    spec: {
      state: {
        redis: {
          managed: {
            replicas: 2,
            backup: { schedule: '0 3 * * *', claimName: 'backups' },
            restoreFrom: { claimName: 'backups', path: 'shop_former' },
          },
        },
      },
      network: { policy: 'IngressAndEgress' },
    },
    observed: { redisRecord: { primary: 'payments-redis-1', inSync: true } },
  },
  'redis-move': {
    spec: { network: { policy: 'IngressAndEgress', egress: [{ cidr: '10.0.0.0/8', ports: [6379] }] } },
    observed: {
      move: {
        wanted: shared,
        job: redisCopy({
          ...testParent(),
          wanted: shared,
          image: 'anomaly:1',
          logLevel: 'info',
          secretsHash: 'hash',
        }),
      },
    },
  },
  'paused-ephemeral': {
    spec: {
      desiredState: 'Paused',
      state: {
        redis: {
          managed: {
            memoryMebibytes: 1000,
            storage: { type: 'Ephemeral' },
            resources: { requests: { cpu: '50m' } },
            template: { tolerations: [{ key: 'state', operator: 'Exists' }], nodeSelector: { disk: 'ssd' } },
          },
        },
      },
      network: { policy: 'Disabled' },
    },
  },
}

describe('desired', () => {
  for (const [name, { spec, observed }] of Object.entries(cases))
    it(`is what manifests/${name}.yaml says`, () => {
      const path = join(import.meta.dirname, 'manifests', `${name}.yaml`)
      const parent = testParent(spec)
      const objects = desired(parent, testObserved(parent, observed), settings)
      // UPDATE=1 writes the files anew, for their changes to be read.
      if (process.env.UPDATE === '1')
        writeFileSync(path, objects.map((object) => stringify(object, { aliasDuplicateObjects: false })).join('---\n'))
      const written = parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS() as unknown)
      expect(JSON.parse(JSON.stringify(objects))).to.deep.equal(written)
    })

  const workloads = (spec: object, observed: Partial<Observed> = {}) => {
    const parent = testParent(spec)
    const objects = desired(parent, testObserved(parent, observed), settings)
    return new Map(
      objects.filter(({ kind }) => kind === 'Deployment').map(({ metadata, spec: body }) => [metadata.name, body]),
    ) as ReadonlyMap<string, { readonly template: unknown }>
  }
  const templates = (spec: object, observed: Partial<Observed> = {}) =>
    [...workloads(spec, observed).values()].map(({ template }) => template)

  it('rolls no pod for a change of scale or of state', () => {
    const before = templates({})
    expect(templates({ consumer: { autoscaling: { maxReplicas: 3 } }, api: { replicas: 9 } })).to.deep.equal(before)
    expect(templates({ desiredState: 'Paused' })).to.deep.equal(before)
  })

  it('rolls the pods for a change of what they read, and for a new restart-at', () => {
    const before = templates({})
    expect(templates({ detection: { onModelUnavailable: 'Wait' } })).to.not.deep.equal(before)
    for (const [index, template] of templates({}, { restartAt: 'now' }).entries())
      expect(template).to.not.deep.equal(before[index])
  })

  it('rolls no pod for what pods take up while they run, and writes it to their file with its generation', () => {
    const before = templates({})
    const rules = [{ name: 'limit', field: 'value', above: '10' }]
    for (const detection of [
      { alertBudgetPerMillion: 7 },
      { alertBudget: { mode: 'Ceiling' } },
      { threshold: '0.99' },
      { rules },
    ])
      expect(templates({ detection }), JSON.stringify(detection)).to.deep.equal(before)
    const parent = testParent({ detection: { rules } })
    const { name, namespace } = parent.pipeline.metadata
    const pipeline = { ...parent.pipeline, metadata: { name, namespace, generation: 7 } }
    const objects = desired({ ...parent, pipeline }, testObserved(parent), settings)
    const { data } = objects.find(({ kind }) => kind === 'ConfigMap') as { data?: Record<string, string> }
    expect(data!['pipeline.yaml']).to.include('generation: 7').and.include('name: limit')
  })

  it('rolls only the pods that read what changed', () => {
    const names = ['inference', 'consumer', 'api'].map((role) => `payments-${role}`)
    const before = workloads({})
    const rolled = (spec: object) => {
      const after = workloads(spec)
      return names.filter((name) => !isDeepStrictEqual(after.get(name)!.template, before.get(name)!.template))
    }
    expect(rolled({ detection: { onModelUnavailable: 'Wait' } })).to.deep.equal(names)
    expect(rolled({ event: { value: 'amount' } })).to.deep.equal(['payments-consumer', 'payments-api'])
    expect(rolled({ results: { publish: 'Anomalies' } })).to.deep.equal(['payments-consumer', 'payments-api'])
    expect(rolled({ api: { publishEvents: 'Disabled' } })).to.deep.equal(['payments-api'])
    expect(rolled({ api: { template: { logLevel: 'debug' } } })).to.deep.equal(['payments-api'])
    expect(rolled({ monitoring: { serviceMonitor: { interval: '1m' } } })).to.deep.equal([])
  })

  const samples = join(import.meta.dirname, '../../manifests/pipelines')
  for (const file of readdirSync(samples).filter((name) => name.endsWith('.yaml')))
    it(`fits with manifests/pipelines/${file} on a machine of two cores, beside the operator and a broker`, () => {
      const pipeline = parsePipeline(parse(readFileSync(join(samples, file), 'utf8')))
      const parent = { ...testParent(), pipeline }
      const pods = desired(parent, testObserved(parent), settings).filter(
        ({ kind }) => kind === 'Deployment' || kind === 'StatefulSet',
      ) as unknown as readonly {
        readonly spec: {
          readonly replicas: number
          readonly template: { readonly spec: { readonly containers: [{ readonly resources: Resources }] } }
        }
      }[]
      const cores = pods.map(
        ({ spec }) => spec.replicas * amountOf(spec.template.spec.containers[0].resources.requests!.cpu!),
      )
      const operatorAndBroker = 2 * 0.05 + 0.25
      expect(cores.reduce((sum, one) => sum + one, operatorAndBroker)).to.be.at.most(2)
    })

  it('has a recorder only where there is something to record, and rolls it for what it reads', () => {
    const history = { postgres: { urlSecretRef: { name: 'history', key: 'url' } } }
    expect([...workloads({}).keys()]).to.not.include('payments-recorder')
    const before = workloads({ history })
    expect([...before.keys()]).to.include('payments-recorder')
    const rolled = (spec: object) => {
      const after = workloads({ history, ...spec })
      return [...before.keys()].filter(
        (name) => !isDeepStrictEqual(after.get(name)!.template, before.get(name)!.template),
      )
    }
    expect(rolled({ history: { postgres: { ...history.postgres, retentionDays: 7 } } })).to.deep.equal([
      'payments-api',
      'payments-recorder',
    ])
    expect(rolled({ detection: { onModelUnavailable: 'Wait' } })).to.not.include('payments-recorder')
    expect(rolled({ results: { episodesTopic: 'episodes' } })).to.include('payments-recorder')
    expect(rolled({ recorder: { template: { logLevel: 'debug' } } })).to.deep.equal(['payments-recorder'])
    const notifications = [{ name: 'chat', slack: { urlSecretRef: { name: 'slack', key: 'url' } } }]
    expect([...workloads({ notifications, results: { episodesTopic: 'episodes' } }).keys()]).to.include(
      'payments-recorder',
    )
  })

  it('makes no autoscaler where somebody else has one, and leaves the replicas to that one', () => {
    const parent = testParent({ api: { autoscaling: { mode: 'External', minReplicas: 0 } } })
    const live = {
      apiVersion: '',
      kind: '',
      metadata: { name: 'payments-api', annotations: { 'anomaly.com/replicas': 'autoscaled' } },
      spec: { replicas: 0 },
    }
    const api = planReplicas({ spec: parent.pipeline.spec, role: 'api', live, autoscalerExists: false })
    expect(api).to.deep.equal({ mark: 'autoscaled', autoscaler: false })
    const { replicas } = testObserved(parent)
    const objects = desired(parent, testObserved(parent, { replicas: { ...replicas, api } }), settings)
    expect(
      objects.filter(({ kind, metadata }) => kind === 'HorizontalPodAutoscaler' && metadata.name === 'payments-api'),
    ).to.deep.equal([])
    expect(
      objects.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'payments-api')?.spec,
    ).to.not.have.property('replicas')
  })

  it('leaves out a workload that waits for its first Secret', () => {
    const secretHashes = { consumer: undefined, inference: 'i', api: undefined, recorder: undefined }
    expect([...workloads({}, { secretHashes }).keys()]).to.deep.equal(['payments-inference'])
  })

  it('lets the pods pull their images with the Secrets that the operator was told of', () => {
    const parent = testParent()
    const pulling = { ...settings, imagePullSecrets: ['registry', 'mirror'] }
    const account = desired(parent, testObserved(parent), pulling).find(({ kind }) => kind === 'ServiceAccount')
    expect(account?.imagePullSecrets).to.deep.equal([{ name: 'registry' }, { name: 'mirror' }])
  })

  it('copies no label of the pipeline', () => {
    const parent = testParent()
    const labels = desired(parent, testObserved(parent), settings).flatMap(({ metadata }) =>
      Object.keys(metadata.labels ?? {}),
    )
    expect([...new Set(labels)].sort()).to.deep.equal([
      'app.kubernetes.io/component',
      'app.kubernetes.io/instance',
      'app.kubernetes.io/managed-by',
      'app.kubernetes.io/name',
      'app.kubernetes.io/part-of',
    ])
  })
})
