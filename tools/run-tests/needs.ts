import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { binaryStep, isDownloaded, moduleStep } from '../servers/binaries/binaries.ts'
import { jarsStep } from '../servers/kafka/kafka.ts'
import { postgresStep } from '../servers/postgres.ts'
import { commandsStep } from '../servers/server.ts'
import type { SetUpStep } from '../servers/set-up.ts'

const kindTests = join(import.meta.dirname, '../../test/kind')

/** All that the integration tests start or run and that is neither here nor in node_modules. */
export const needs: readonly SetUpStep[] = [
  commandsStep('Java, Redis, OpenSSL, Prometheus, PgBouncer, Chromium and Python', {
    java: 'openjdk-17-jre-headless',
    'redis-server': 'redis-server',
    openssl: 'openssl',
    prometheus: 'prometheus',
    promtool: 'prometheus',
    'prometheus-alertmanager': 'prometheus-alertmanager',
    pgbouncer: 'pgbouncer',
    chromium: 'chromium',
    python3: 'python3',
  }),
  postgresStep,
  jarsStep,
  binaryStep('etcd'),
  binaryStep('kube-apiserver'),
  binaryStep('kube-controller-manager'),
  binaryStep('kubectl', { own: true }),
  binaryStep('helm', { own: true }),
  binaryStep('crane', { own: true }),
  binaryStep('argocd', { own: true }),
  moduleStep("Argo CD's manifests", 'argocd', 'github.com/argoproj/argo-cd/v3'),
  {
    name: "kind's validation",
    isDone: () => isDownloaded(kindTests, 'sigs.k8s.io/kind'),
    make: () => promisify(execFile)('go', ['test', '-run', '^$', './...'], { cwd: kindTests }),
  },
]
