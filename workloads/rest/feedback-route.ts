import type { Express, RequestHandler } from 'express'
import { type FeedbackBody, readFeedback } from '../wire/feedback-record.ts'
import { parseJson, withText } from './request-body.ts'
import { sendJson, sendRefusal } from './respond.ts'

export interface FeedbackRouteOptions {
  /** False: nothing is known of the event. Absent where the pipeline learns from no feedback. */
  readonly take: ((said: FeedbackBody) => Promise<boolean>) | undefined
  /** Whether it is known who speaks, or the pipeline does not ask. */
  readonly isOpen: boolean
  readonly limits: Parameters<typeof withText>[2]
  readonly guards: readonly RequestHandler[]
  readonly allowOnly: (...methods: string[]) => RequestHandler
}

/** What somebody says of an event. */
export function addFeedbackRoute(app: Express, options: FeedbackRouteOptions): void {
  const { take, isOpen, limits, guards, allowOnly } = options
  app
    .route('/api/v1/feedback')
    .post(...guards, async (request, response) => {
      const refuse = (reason: string, message: string) => sendRefusal(request, response, { reason, message })
      if (take === undefined)
        return refuse(
          'NotFound',
          'This pipeline takes no feedback: it has no detection.feedback, or publishes no events',
        )
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
        if (await take(said)) return sendJson(response, 202, JSON.stringify({ eventId, label }))
        const name = JSON.stringify(eventId)
        refuse('NotFound', `There is no verdict of the event ${name}, or no longer; send it along as verdict`)
      })
      if (refusal !== undefined) sendRefusal(request, response, refusal)
    })
    .all(allowOnly('POST'))
}
