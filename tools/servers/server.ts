import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, isAbsolute, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { isAlive, locked } from './locked.ts'
import type { SetUpStep } from './set-up.ts'

const run = promisify(execFile)

/** A server process that a test started. Whatever ends the test process, except SIGKILL, ends the server too. */
export interface ServerProcess {
  readonly pid: number
  /** Asks it to end; after `graceMs` it is killed. Answers with its exit code, null where it was killed. */
  stop(graceMs?: number): Promise<number | null>
  /** As `kill -9`. */
  kill(): Promise<void>
  /** SIGSTOP: alive for the kernel, silent for everyone else. */
  pause(): void
  resume(): void
}

const running = new Set<ChildProcess>()
const folders = new Set<string>()
const claimed = new Set<string>()
let guarded = false

function cleanUp(): void {
  for (const child of running) child.kill('SIGKILL')
  for (const file of claimed) rmSync(file, { force: true })
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}

function guard(): void {
  if (guarded) return
  guarded = true
  process.once('exit', cleanUp)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      cleanUp()
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
    })
  }
}

/** A folder that is gone when the test process is. */
export function temporaryFolder(name: string): string {
  guard()
  const folder = mkdtempSync(join(tmpdir(), `anomaly-${name}-`))
  folders.add(folder)
  return folder
}

export function removeFolder(folder: string): void {
  folders.delete(folder)
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}

/** Starts `command` with its output in the file `log` and waits until `ready` answers true. */
export async function startServer(
  command: string,
  args: readonly string[],
  options: {
    readonly log: string
    readonly ready: () => Promise<boolean>
    readonly timeoutMs?: number | undefined
    readonly signal?: AbortSignal | undefined
  },
): Promise<ServerProcess> {
  guard()
  const { log, ready, timeoutMs = 180_000, signal } = options
  const output = openSync(log, 'a')
  const child = spawn(command, args, { stdio: ['ignore', output, output] })
  closeSync(output)
  // A run that failed to stop it ends all the same, and it with the run.
  child.unref()
  running.add(child)
  const exited = once(child, 'exit').then(() => void running.delete(child))
  exited.catch(() => running.delete(child))

  const end = async (how: 'SIGTERM' | 'SIGKILL', graceMs: number): Promise<number | null> => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    child.ref()
    child.kill('SIGCONT')
    child.kill(how)
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
    await exited
    clearTimeout(timer)
    return child.exitCode
  }

  const deadline = Date.now() + timeoutMs
  while (!(await ready().catch(() => false))) {
    const gone = child.exitCode !== null || child.signalCode !== null || child.pid === undefined
    if (gone || signal?.aborted || Date.now() > deadline) {
      await end('SIGKILL', 0)
      const why = gone ? 'it exited' : signal?.aborted ? 'aborted' : `not ready after ${timeoutMs} ms`
      throw new Error(`Cannot start ${command}: ${why}; its last lines:\n${readFileSync(log, 'utf8').slice(-2000)}`)
    }
    await delay(100)
  }
  return {
    pid: child.pid!,
    stop: (graceMs = 20_000) => end('SIGTERM', graceMs),
    kill: async () => void (await end('SIGKILL', 0)),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  }
}

/**
 * Below the ports that the kernel gives to clients (32,768 on Linux) and to Kubernetes' node ports: none of these is taken
 * by a connection between its choice and its use, or while its server is down for a while.
 */
const portRange = [20_000, 30_000] as const
const portFolder = join(tmpdir(), 'anomaly-ports')

/** TCP ports that nothing listens on at this moment, and that no other process gets here as long as this one lives. */
export async function freePorts(count: number): Promise<number[]> {
  guard()
  const ports: number[] = []
  while (ports.length < count) {
    const port = randomInt(...portRange)
    if (claim(port) && (await isFree(port))) ports.push(port)
  }
  return ports
}

/** Writes down that the port is of this process; answers whether it was free or of a process that is gone. */
function claim(port: number): boolean {
  mkdirSync(portFolder, { recursive: true })
  const file = join(portFolder, String(port))
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
  } catch {
    // Whoever removes what a dead process left has the port no more than others have: all of them choose again.
    if (existsSync(file) && !isAlive(Number(readFileSync(file, 'utf8')))) rmSync(file, { force: true })
    return false
  }
  claimed.add(file)
  return true
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, () => server.close(() => resolve(true)))
  })
}

/** Sends `request` to the port and gives what `complete` accepts of the answer. */
export async function ask(
  port: number,
  request: Buffer,
  complete: (answer: Buffer) => boolean,
  { host = '127.0.0.1' }: { readonly host?: string } = {},
): Promise<Buffer> {
  const socket = connect(port, host)
  socket.setTimeout(2000, () => socket.destroy(new Error(`No answer from port ${port}`)))
  try {
    socket.write(request)
    let answer: Buffer = Buffer.alloc(0)
    for await (const chunk of socket) {
      answer = Buffer.concat([answer, chunk as Buffer])
      if (complete(answer)) return answer
    }
    throw new Error(`Port ${port} closed the connection`)
  } finally {
    socket.destroy()
  }
}

/** Whether it can be run; absolute, or by its name. */
export function isOnPath(command: string): boolean {
  const folders = isAbsolute(command) ? [''] : (process.env.PATH ?? '').split(delimiter)
  return folders.some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/**
 * Makes sure that the commands are there. `packages` maps a command to the Debian package that brings it; as root on
 * Debian or Ubuntu the missing ones are installed, elsewhere one line says what is missing.
 */
export async function requireCommands(packages: Readonly<Record<string, string>>): Promise<void> {
  const missing = missingCommands(packages)
  if (missing.length === 0) return
  const install = missing.map((command) => packages[command]!)
  if (process.getuid?.() !== 0 || !isOnPath('apt-get'))
    throw new Error(
      `Missing ${missing.join(', ')}: install ${install.join(' ')} (Debian, Ubuntu: apt-get install ${install.join(' ')}), or set SKIP_INTEGRATION=1`,
    )
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  await locked(join(tmpdir(), 'anomaly-apt.lock'), async () => {
    for (const args of [
      ['update', '-qq'],
      ['install', '-y', '-qq', '--no-install-recommends', ...install],
    ]) {
      await run('apt-get', args, { env, maxBuffer: 64 << 20 }).catch((error: { readonly stderr: string }) => {
        throw new Error(`Cannot install ${install.join(' ')}: apt-get ${args[0]}: ${error.stderr.trim()}`)
      })
    }
  })
}

/** The step that installs the packages. */
export function commandsStep(name: string, packages: Readonly<Record<string, string>>): SetUpStep {
  return {
    name,
    isDone: async () => missingCommands(packages).length === 0,
    make: () => requireCommands(packages),
  }
}

function missingCommands(packages: Readonly<Record<string, string>>): string[] {
  return Object.keys(packages).filter((command) => !isOnPath(command))
}
