import { closing, defineCommand } from './define-command.ts'
import { delimiter, format, input, kafka, seed } from './flags.ts'

export const replay = defineCommand({
  command: 'replay',
  describe: 'Send the events of a file, or simulated ones, to a running pipeline',
  builder: (command) =>
    command
      .usage(
        'Send the events of a file, or simulated ones, to a running pipeline: to its REST API, or to its topic. Or as JSONL to\nstandard output.',
      )
      .epilogue(
        closing(
          'replay (--input FILE | --simulate) (--to URL|- | --brokers HOST:PORT --topic TOPIC) [flags]',
          ['500 events a second', '$0 replay --input events.jsonl --to http://localhost:8080 --rate 500'],
          [
            'As fast as Kafka takes them',
            '$0 replay --input events.jsonl --brokers localhost:9092 --topic anomaly-events',
          ],
          [
            'Simulated payments, for the pipeline payments.yaml',
            '$0 replay --simulate --events 20000 --rate 500 --brokers localhost:9092 --topic payments',
          ],
        ),
      )
      .options({
        input,
        format,
        delimiter,
        simulate: {
          type: 'boolean',
          default: false,
          describe: 'Send card payments with anomalies among them: now, and each run with ids of its own',
        },
        seed,
        events: {
          type: 'number',
          requiresArg: true,
          describe: 'End the simulation after so many events; without this and --seconds it ends with the process',
        },
        seconds: { type: 'number', requiresArg: true, describe: 'End the simulation after so many seconds' },
        to: { type: 'string', requiresArg: true, describe: 'URL of the API; - is standard output' },
        brokers: { type: 'string', requiresArg: true, describe: 'host:port of Kafka, several with commas' },
        topic: { type: 'string', requiresArg: true, describe: 'Topic to write to, with --brokers' },
        results: {
          type: 'string',
          default: 'anomaly-results',
          requiresArg: true,
          describe: 'Topic of the verdicts: if it exists, the run ends with how many of its events were judged',
        },
        'kafka-tls': {
          type: 'boolean',
          default: false,
          describe: 'Connections to the brokers use TLS, even without one of the files below',
        },
        'kafka-sasl-mechanism': {
          choices: ['Plain', 'ScramSha256', 'ScramSha512'] as const,
          requiresArg: true,
          describe: 'How to log in to the brokers, with the two files below',
        },
        ...kafka,
        key: {
          type: 'string',
          default: 'userId',
          requiresArg: true,
          describe: "Field of the events that is their records' key, dotted where nested, with --brokers",
        },
        rate: { type: 'number', requiresArg: true, describe: 'Events a second; as fast as it goes if absent' },
      }),
  handler: async (args) => (await import('../../workloads/replay/replay-command.ts')).replayCommand(args),
})
