import type { IncomingMessage } from 'node:http'

const callers = new WeakMap<IncomingMessage, string>()

/** To be told by who lets a request through, where it knows whose it is. */
export function setCaller(request: IncomingMessage, name: string): void {
  callers.set(request, name)
}

/** Who asks, by name; undefined where that is not known. */
export function callerOf(request: IncomingMessage): string | undefined {
  return callers.get(request)
}
