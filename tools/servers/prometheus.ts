import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { freePorts, removeFolder, type ServerProcess, startServer, temporaryFolder } from './server.ts'

/** A sample of an instant query. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: number
}

export interface Prometheus {
  readonly url: string
  /** @throws Error with Prometheus' words where the query is wrong */
  query(expr: string): Promise<Sample[]>
  stop(): Promise<void>
}

/** A Prometheus that scrapes the targets, and evaluates the text of a rule file, each second. */
export async function startPrometheus(
  targets: readonly { readonly address: string; readonly labels: Readonly<Record<string, string>> }[],
  { rules }: { readonly rules: string },
): Promise<Prometheus> {
  const folder = temporaryFolder('prometheus')
  mkdirSync(join(folder, 'data'))
  writeFileSync(join(folder, 'rules.yaml'), rules)
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['rules.yaml'],
    scrape_configs: targets.map(({ address, labels }, index) => ({
      job_name: `target-${index}`,
      honor_labels: true,
      static_configs: [{ targets: [address], labels }],
    })),
  }
  writeFileSync(join(folder, 'prometheus.yaml'), stringify(config))
  const [port] = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const args = [
    `--config.file=${join(folder, 'prometheus.yaml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--enable-feature=exemplar-storage',
  ]
  const server: ServerProcess = await startServer('prometheus', args, {
    log: join(folder, 'log'),
    ready: async () => (await fetch(`${url}/-/ready`)).ok,
  })
  return {
    url,
    async query(expr) {
      const response = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query: expr })}`)
      const answer = (await response.json()) as {
        readonly error?: string
        readonly data: { readonly result: readonly { metric: Record<string, string>; value: [number, string] }[] }
      }
      if (!response.ok) throw new Error(`${answer.error}: ${expr}`)
      return answer.data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
    },
    async stop() {
      await server.stop()
      removeFolder(folder)
    },
  }
}
