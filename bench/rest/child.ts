import { fork } from 'node:child_process'
import { once } from 'node:events'

/** A child process that answers each message with one; `file` is beside this one. */
export interface Child {
  hear<T>(): Promise<T>
  ask<T>(message: object): Promise<T>
  kill(): void
}

export function startChild(file: string, ...args: string[]): Child {
  const child = fork(new URL(file, import.meta.url), args)
  const ended = once(child, 'exit').then(() => {
    throw new Error(`Cannot measure: ${file} ended`)
  })
  ended.catch(() => {})
  const hear = async <T>(): Promise<T> => (await Promise.race([once(child, 'message'), ended]))[0] as T
  return {
    hear,
    ask: <T>(message: object): Promise<T> => {
      const answer = hear<T>()
      child.send(message)
      return answer
    },
    kill: () => child.kill(),
  }
}
