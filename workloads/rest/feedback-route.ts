import type { Express, RequestHandler } from 'express'
import { feedbackLabels } from '../detection/feedback.ts'
import type { SaidStore } from '../state/said.ts'
import { type FeedbackBody, readFeedback } from '../wire/feedback-record.ts'
import { callerOf } from './caller.ts'
import { parametersOf } from './history-routes.ts'
import { parseJson, withText } from './request-body.ts'
import { sendJson, sendRefusal } from './respond.ts'

export interface FeedbackRouteOptions {
  /** False: nothing is known of the event. Absent where the pipeline learns from no feedback. */
  readonly take: ((said: FeedbackBody) => Promise<boolean>) | undefined
  /** What was said and learnt; absent likewise. */
  readonly list: SaidStore['list'] | undefined
  /** Whether it is known who speaks, or the pipeline does not ask. */
  readonly isOpen: boolean
  readonly limits: Parameters<typeof withText>[2]
  readonly guards: readonly RequestHandler[]
  readonly allowOnly: (...methods: string[]) => RequestHandler
}

const takesNone = 'This pipeline takes no feedback: it has no detection.feedback, or publishes no events'
const usualPage = 100
const mostOnPage = 1000

/** What somebody says of an event, and what was said. */
export function addFeedbackRoute(app: Express, options: FeedbackRouteOptions): void {
  const { take, list, isOpen, limits, guards, allowOnly } = options
  app
    .route('/api/v1/feedback')
    .get(...guards, async (request, response) => {
      if (list === undefined) return sendRefusal(request, response, { reason: 'NotFound', message: takesNone })
      const given = parametersOf(request)
      const query = { userId: given.text('key'), label: given.choice('label', feedbackLabels) }
      const limit = given.count('limit', usualPage, mostOnPage)
      const { items, next } = await list(query, { limit, cursor: given.text('cursor') })
      sendJson(response, 200, JSON.stringify({ feedback: items, next: next ?? null }))
    })
    .post(...guards, async (request, response) => {
      const refuse = (reason: string, message: string) => sendRefusal(request, response, { reason, message })
      if (take === undefined) return refuse('NotFound', takesNone)
      if (!isOpen)
        return refuse(
          'Forbidden',
          'Feedback needs api.auth.mode Bearer or Oidc, or detection.feedback.authentication None',
        )
      const refusal = await withText(request, ['application/json'], limits, async (text) => {
        const parsed = parseJson(text)
        if ('reason' in parsed) return sendRefusal(request, response, parsed)
        const said = readFeedback(parsed.value)
        if ('reason' in said) return sendRefusal(request, response, said)
        const { eventId, label } = said
        if (await take({ ...said, by: callerOf(request) }))
          return sendJson(response, 202, JSON.stringify({ eventId, label }))
        const name = JSON.stringify(eventId)
        refuse('NotFound', `There is no verdict of the event ${name}, or no longer; send it along as verdict`)
      })
      if (refusal !== undefined) sendRefusal(request, response, refusal)
    })
    .all(allowOnly('GET', 'HEAD', 'POST'))
}
