import { closing, defineCommand } from './define-command.ts'
import { kafka, logFormat, logLevel, otlpEndpoint, pipelineFile, postgres, probesPort, secretsFolder } from './flags.ts'

export const recorder = defineCommand({
  command: 'recorder',
  describe: 'Keep verdicts and episodes in PostgreSQL, and tell receivers of episodes',
  builder: (command) =>
    command
      .usage(
        'Read the verdicts and episodes that the pipeline publishes, write each once to the database of history.postgres, and tell the receivers of spec.notifications of episodes.',
      )
      .epilogue(
        closing('recorder -f PIPELINE [flags]', [
          'With a database on localhost',
          '$0 recorder -f payments.yaml --postgres-url postgresql://anomaly:secret@localhost/anomaly',
        ]),
      )
      .options({
        file: pipelineFile,
        'probes-port': probesPort,
        ...kafka,
        ...postgres,
        'secrets-folder': secretsFolder,
        'otlp-endpoint': otlpEndpoint,
        'log-level': logLevel,
        'log-format': logFormat,
      }),
  handler: async (args) => (await import('../../workloads/recorder/main.ts')).recorderCommand(args),
})
