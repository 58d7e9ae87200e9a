import type { FeedbackLabel } from '../../workloads/detection/feedback.ts'
import { closing, defineCommand } from './define-command.ts'

const labels = ['Confirmed', 'FalseAlarm', 'Withdrawn'] as const satisfies readonly FeedbackLabel[]

const api = {
  url: { type: 'string', demandOption: true, requiresArg: true, describe: 'Address of the API' },
  'token-file': { type: 'string', requiresArg: true, describe: 'File with a bearer token, for the API' },
} as const

const give = defineCommand({
  command: '$0 [events...]',
  describe: 'Say what events were',
  builder: (command) =>
    command.positional('events', { type: 'string', array: true, describe: 'Ids of the events' }).options({
      label: {
        choices: labels,
        demandOption: true,
        requiresArg: true,
        describe: 'What they were; Withdrawn takes back what was said before',
      },
      input: { type: 'string', requiresArg: true, describe: 'File with verdicts as JSONL; - is standard input' },
      ...api,
    }),
  handler: async (args) =>
    (await import('../../workloads/feedback/feedback-command.ts')).feedbackCommand({
      ...args,
      events: args.events ?? [],
    }),
})

const list = defineCommand({
  command: 'list',
  describe: 'List what was said, newest first',
  builder: (command) =>
    command
      .usage(
        'List what was said of events and learnt, newest first: when, by whom, of which event, and the pattern that made it\nstand out. What was taken back says so.',
      )
      .epilogue(
        closing('feedback list --url URL [flags]', [
          'Of one key',
          '$0 feedback list --key user-42 --url http://localhost:8080',
        ]),
      )
      .options({
        key: { type: 'string', requiresArg: true, describe: 'Only of events of this key' },
        label: {
          choices: labels,
          requiresArg: true,
          describe: 'Only what was said; Withdrawn: was taken back',
        },
        limit: { type: 'number', default: 100, requiresArg: true, describe: 'Entries at most' },
        json: { type: 'boolean', default: false, describe: 'A JSON object a line' },
        ...api,
      }),
  handler: async (args) => (await import('../../workloads/feedback/list-command.ts')).listCommand(args),
})

export const feedback = defineCommand({
  command: 'feedback',
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
          ['What was said so far', '$0 feedback list --url http://localhost:8080'],
        ),
      )
      .command(give)
      .command(list),
  handler: () => {},
})
