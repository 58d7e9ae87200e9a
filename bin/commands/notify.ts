import { closing, defineCommand } from './define-command.ts'
import { pipelineFile, secretsFolder } from './flags.ts'

export const notify = defineCommand({
  command: 'notify [names..]',
  describe: 'Send a test message to the receivers of a pipeline',
  builder: (command) =>
    command
      .usage(
        'Send a message to receivers of spec.notifications as if an episode had opened, and print what each says.\nAlertmanager takes it for resolved after five minutes; an incident of PagerDuty stays open.',
      )
      .epilogue(
        closing('notify [NAME...] -f PIPELINE [flags]', [
          'Whether the channel is reached',
          '$0 notify chat -f payments.yaml --secrets-folder secrets',
        ]),
      )
      .positional('names', {
        type: 'string',
        array: true,
        default: [],
        describe: 'Names of notifications; all of them if absent',
      })
      .options({ file: pipelineFile, 'secrets-folder': secretsFolder }),
  handler: async (args) => (await import('../../workloads/notifications/notify-command.ts')).notifyCommand(args),
})
