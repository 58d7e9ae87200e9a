import type { FeedbackLabel } from '../../workloads/detection/feedback.ts'
import { closing, defineCommand } from './define-command.ts'

const labels = ['Confirmed', 'FalseAlarm', 'Withdrawn'] as const satisfies readonly FeedbackLabel[]

export const feedback = defineCommand({
  command: 'feedback [events...]',
  describe: 'Tell a running pipeline which events were anomalies and which were false alarms',
  builder: (command) =>
    command
      .usage(
        'Tell a running pipeline, by its REST API, what its events were. It learns from that where it has detection.feedback.',
      )
      .epilogue(
        closing(
          'feedback EVENT... --label LABEL --url URL [flags]',
          ['These two were anomalies', '$0 feedback e-17 e-18 --label Confirmed --url http://localhost:8080'],
          [
            'Events that are not known any more, by their verdicts',
            '$0 feedback --input verdicts.jsonl --label FalseAlarm --url http://localhost:8080',
          ],
        ),
      )
      .positional('events', { type: 'string', array: true, describe: 'Ids of the events' })
      .options({
        label: {
          choices: labels,
          demandOption: true,
          requiresArg: true,
          describe: 'What they were; Withdrawn takes back what was said before',
        },
        url: { type: 'string', demandOption: true, requiresArg: true, describe: 'Address of the API' },
        input: { type: 'string', requiresArg: true, describe: 'File with verdicts as JSONL; - is standard input' },
        'token-file': { type: 'string', requiresArg: true, describe: 'File with a bearer token, for the API' },
      }),
  handler: async (args) =>
    (await import('../../workloads/feedback/feedback-command.ts')).feedbackCommand({
      ...args,
      events: args.events ?? [],
    }),
})
