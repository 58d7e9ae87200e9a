import { existsSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { pidFile, runFolder, runningStack } from './run-folder.ts'

/** `make down`: ends what `make up` started, the consumer after its batch, and removes its files. */

const graceMs = 40_000

/** Whether anything is left of the process group that the stack leads. */
function groupRuns(pid: number, signal: 'SIGKILL' | 0 = 0): boolean {
  try {
    return process.kill(-pid, signal)
  } catch {
    return false
  }
}

if (!existsSync(pidFile)) {
  process.stdout.write('Nothing runs.\n')
  process.exit()
}
const group = Number(readFileSync(pidFile, 'utf8'))
const pid = runningStack()
if (pid !== undefined) process.kill(pid, 'SIGTERM')
const deadline = Date.now() + graceMs
while (runningStack() !== undefined && Date.now() < deadline) await delay(100)
// also what a stack that was killed has left behind
if (groupRuns(group)) groupRuns(group, 'SIGKILL')
rmSync(runFolder, { recursive: true, force: true })
process.stdout.write('Stopped.\n')
