import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runningCluster } from '../servers/cluster/cluster.ts'
import { anomalyArchive, imageNames, redisArchive } from '../servers/images/images.ts'
import { removeFolder, temporaryFolder } from '../servers/server.ts'
import { holderPid } from './holder-pid.ts'
import type { Host } from './host.ts'

/** What fits a node of two cores beside all else. */
const small = { resources: { requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '1Gi' } } }

/** One node of processes of this machine, where no container engine runs. It outlives this process. */
export function singleNode(): Host {
  const { kubectl, helm, load, kubeconfig, programs } = runningCluster()
  return {
    kubectl,
    helm,
    async start() {
      if (holderPid() === undefined) await startHolder()
    },
    async loadImage(version) {
      const folder = temporaryFolder('image')
      const archive = join(folder, 'anomaly.tar')
      await anomalyArchive(version, archive)
      await load(archive)
      removeFolder(folder)
      await load(await redisArchive())
    },
    async startKafka() {
      await kubectl(['apply', '-f', join(import.meta.dirname, '../servers/cluster/kafka-service.yaml')])
    },
    pipeline: { spec: { consumer: small, inference: small, api: small } },
    values: ['--set', `redisImage=${imageNames.redis}`],
    shell: `export KUBECONFIG=${kubeconfig} PATH=${programs}:$PATH`,
    end: 'make cluster-down',
  }
}

async function startHolder(): Promise<void> {
  const log = join(tmpdir(), 'anomaly-cluster.log')
  const output = openSync(log, 'w')
  const holder = fork(join(import.meta.dirname, 'holder.ts'), {
    detached: true,
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', output, output, 'ipc'],
  })
  closeSync(output)
  const isUp = await Promise.race([once(holder, 'message').then(() => true), once(holder, 'exit').then(() => false)])
  if (!isUp) throw new Error(readFileSync(log, 'utf8').trim().slice(-2000))
  holder.disconnect()
  holder.unref()
}
