import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clusterHome } from '../servers/cluster/cluster.ts'

// Gone with the cluster.
const file = join(clusterHome, 'holder.pid')

export function writeHolderPid(): void {
  writeFileSync(file, String(process.pid))
}

/** The process that holds the cluster of `make cluster-up`, if there is one. */
export function holderPid(): number | undefined {
  if (!existsSync(file)) return undefined
  const pid = Number(readFileSync(file, 'utf8'))
  const command = `/proc/${pid}/cmdline`
  return existsSync(command) && readFileSync(command, 'utf8').includes('try-out/holder.ts') ? pid : undefined
}
