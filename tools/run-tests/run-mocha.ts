import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { TestCounts } from './reporter.ts'
import type { Job, Outcome } from './run-jobs.ts'

const mocha = fileURLToPath(import.meta.resolve('mocha/bin/mocha.js'))
const reporter = `${import.meta.dirname}/reporter.ts`

/**
 * Runs the files in a Mocha of their own. A process that dies before its tests have ended, or lives on for `graceMs`
 * after that, is a failed test.
 */
export async function runMocha(
  { name, files }: Job,
  { graceMs = 30_000, signal }: { readonly graceMs?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<Outcome> {
  const began = performance.now()
  const args = ['--disable-warning=ExperimentalWarning', mocha, '--reporter', reporter, ...files]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  const stop = (): void => void child.kill('SIGTERM')
  signal?.addEventListener('abort', stop)
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      output += text
    })
  }
  let counts: TestCounts | undefined
  let timer: NodeJS.Timeout | undefined
  child.on('message', (message: TestCounts) => {
    counts = message
    timer = setTimeout(() => {
      output += `\nIts tests have ended, but the process has not: something it opened is still open.\n`
      child.kill('SIGKILL')
    }, graceMs)
  })
  const [code, killedBy] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(timer)
  signal?.removeEventListener('abort', stop)
  const ended = { passed: 0, failed: 0, skipped: 0, ...counts }
  if (counts === undefined) output += `\nThe process ended before its tests did (${killedBy ?? `exit code ${code}`}).\n`
  const failed = code === 0 && counts !== undefined ? ended.failed : Math.max(1, ended.failed)
  return { name, ...ended, failed, output, seconds: (performance.now() - began) / 1000 }
}
