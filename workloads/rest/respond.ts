import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Problem, problemOf, type Refusal } from './problem.ts'

/** Text that is ready to send. Express's own `json` and `send` would stringify, hash and look at it again. */
export function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }).end(body)
}

export function sendJson(response: ServerResponse, status: number, json: string): void {
  send(response, status, 'application/json', json)
}

export function sendProblem(request: IncomingMessage, response: ServerResponse, problem: Problem): void {
  if (problem.status === 503) response.setHeader('Retry-After', '1')
  const instance = request.url!.split('?', 1)[0]
  send(response, problem.status, 'application/problem+json', JSON.stringify({ ...problem, instance }))
}

export function sendRefusal(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  sendProblem(request, response, problemOf(refusal))
}
