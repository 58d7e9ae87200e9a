import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { freePorts, removeFolder, type ServerProcess, startServer, temporaryFolder } from './server.ts'

/** An alert as its API gives it. */
export interface ActiveAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly startsAt: string
  readonly endsAt: string
}

export interface Alertmanager {
  readonly url: string
  /** Those that fire. */
  alerts(): Promise<ActiveAlert[]>
  stop(): Promise<void>
}

/** An Alertmanager that groups by pipeline and tells a webhook, each after a second. */
export async function startAlertmanager({ webhook }: { readonly webhook: string }): Promise<Alertmanager> {
  const folder = temporaryFolder('alertmanager')
  const config = {
    route: {
      receiver: 'hook',
      group_by: ['namespace', 'pipeline'],
      group_wait: '1s',
      group_interval: '1s',
      repeat_interval: '1h',
    },
    receivers: [{ name: 'hook', webhook_configs: [{ url: webhook, send_resolved: true }] }],
  }
  writeFileSync(join(folder, 'alertmanager.yaml'), stringify(config))
  const [port] = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const args = [
    `--config.file=${join(folder, 'alertmanager.yaml')}`,
    `--storage.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--cluster.listen-address=',
  ]
  const server: ServerProcess = await startServer('prometheus-alertmanager', args, {
    log: join(folder, 'log'),
    ready: async () => (await fetch(`${url}/-/ready`)).ok,
  })
  return {
    url,
    alerts: async () => (await (await fetch(`${url}/api/v2/alerts?active=true`)).json()) as ActiveAlert[],
    async stop() {
      await server.stop()
      removeFolder(folder)
    },
  }
}
