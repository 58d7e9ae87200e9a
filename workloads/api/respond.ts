import type { Request, Response } from 'express'
import { type Problem, problemOf, type Refusal } from './problem.ts'

/** Text that is ready to send. Express's own `json` and `send` would stringify, hash and look at it again. */
export function send(response: Response, status: number, type: string, body: string): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }).end(body)
}

export function sendJson(response: Response, status: number, json: string): void {
  send(response, status, 'application/json', json)
}

export function sendProblem(request: Request, response: Response, problem: Problem): void {
  const instance = request.originalUrl.split('?', 1)[0]
  send(response, problem.status, 'application/problem+json', JSON.stringify({ ...problem, instance }))
}

export function sendRefusal(request: Request, response: Response, refusal: Refusal): void {
  sendProblem(request, response, problemOf(refusal))
}
