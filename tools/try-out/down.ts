import { execFileSync } from 'node:child_process'
import { clusterHome } from '../servers/cluster/cluster.ts'
import { holderPid } from './holder-pid.ts'

/** `make cluster-down`: ends what `make cluster-up` started. */

const pid = holderPid()
if (pid === undefined) process.stdout.write('Nothing runs.\n')
else {
  process.kill(pid, 'SIGTERM')
  // held until all is removed
  execFileSync('flock', ['--timeout', '60', `${clusterHome}.lock`, 'true'])
  process.stdout.write('Stopped.\n')
}
