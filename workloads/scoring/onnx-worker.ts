import { type ChildProcess, fork } from 'node:child_process'
import { type MessagePort, workerData } from 'node:worker_threads'
import type { OnnxAnswer, OnnxRows, OnnxStart } from './onnx-process.ts'

/**
 * Asked: rows to score; when there is an answer, the flag is set and notified, and it can be received under the same id.
 * TooSlow: nobody waits for it any more. End: nor for any other.
 */
export type OnnxRequest =
  | ({ readonly type: 'Asked'; readonly id: number; readonly flag: Int32Array } & OnnxRows)
  | { readonly type: 'TooSlow' }
  | { readonly type: 'End' }

export type OnnxReply = OnnxAnswer & { readonly id: number }

/** A process that failed is started again after this time at first, and twice as long each time. */
const pauseMs = { first: 1000, most: 60_000 } as const

/**
 * Stands between who waits, asleep, and the process of the model. Native code cannot be stopped within a process: a thread
 * that is ended in the middle of it takes all others along.
 */
const { start, port } = workerData as { readonly start: OnnxStart; readonly port: MessagePort }
/** The process that answers, and that which was started last. */
let child: ChildProcess | undefined
let latest: ChildProcess | undefined
let again: NodeJS.Timeout | undefined
let asked: Extract<OnnxRequest, { type: 'Asked' }> | undefined
let pause: number = pauseMs.first
let isEnded = false

function reply(answer: OnnxAnswer): void {
  if (asked === undefined) return
  const { id, flag } = asked
  asked = undefined
  port.postMessage({ ...answer, id })
  Atomics.store(flag, 0, 1)
  Atomics.notify(flag, 0)
}

/** @param isFirst the parent waits for it to be ready */
function begin(isFirst: boolean): void {
  const own = fork(new URL('./onnx-process.ts', import.meta.url), {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  latest = own
  let isReady = false
  own.on('message', (answer: OnnxAnswer) => {
    if (isReady) {
      if ('scores' in answer) pause = pauseMs.first
      return reply(answer)
    }
    if (isFirst) port.postMessage({ ...answer, id: 0 })
    if ('problem' in answer) return void own.kill('SIGKILL')
    isReady = true
    child = own
  })
  own.on('exit', (code, signal) => {
    const problem = `its process ended with ${signal ?? code}`
    if (isFirst && !isReady) port.postMessage({ problem, id: 0 })
    const isOurs = child === own
    if (isOurs) {
      child = undefined
      reply({ problem })
    }
    if (isEnded || (isFirst && !isReady)) return
    again = setTimeout(() => begin(false), pause)
    pause = Math.min(pauseMs.most, 2 * pause)
  })
  own.on('error', () => {})
  own.send(start)
}

port.on('message', (request: OnnxRequest) => {
  if (request.type === 'Asked') {
    asked = request
    if (child === undefined) reply({ problem: 'its process is being started again' })
    else child.send({ rows: request.rows, count: request.count })
    return
  }
  asked = undefined
  isEnded = request.type === 'End'
  latest?.kill('SIGKILL')
  if (!isEnded) return
  clearTimeout(again)
  port.close()
})
begin(true)
