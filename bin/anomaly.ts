import yargs, { type Argv } from 'yargs'
import { AppError, messageOf } from '../lib/errors.ts'
import { exitOnUnhandled } from '../lib/unhandled.ts'
import { version } from '../lib/version.ts'
import { api } from './commands/api.ts'
import { backtest } from './commands/backtest.ts'
import { consumer } from './commands/consumer.ts'
import { crd } from './commands/crd.ts'
import { closing } from './commands/define-command.ts'
import { feedback } from './commands/feedback.ts'
import { inference } from './commands/inference.ts'
import { init } from './commands/init.ts'
import { models } from './commands/models.ts'
import { notify } from './commands/notify.ts'
import { operator } from './commands/operator.ts'
import { recorder } from './commands/recorder.ts'
import { replay } from './commands/replay.ts'
import { run } from './commands/run.ts'
import { schema } from './commands/schema.ts'
import { state } from './commands/state.ts'
import { tune } from './commands/tune.ts'
import { watch } from './commands/watch.ts'
import { removeServices, unknownVariable } from './environment.ts'

// To yargs a dash is no value of a list.
const args = process.argv.slice(2)
for (let i = 0; i < args.length; i++) if (args[i] === '--input' && args[i + 1] === '-') args.splice(i, 2, '--input=-')

const cli: Argv = yargs(args)
  .scriptName('anomaly')
  .usage('Anomaly detection for Kafka on Kubernetes: learns what is normal and explains what is not.')
  .epilogue(
    `Use "$0 COMMAND --help" for more about a command.\nEvery flag may also be set in the environment: --log-level as ANOMALY_LOG_LEVEL.\n\n${closing('COMMAND [flags]')}`,
  )
  .env('ANOMALY')
  .strict()
  .strictCommands()
  .demandCommand(1, 'Name a command')
  .check(checkFlags)
  .command(run)
  .command(backtest)
  .command(tune)
  .command(replay)
  .command(watch)
  .command(feedback)
  .command(notify)
  .command(init)
  .command(crd)
  .command(consumer)
  .command(api)
  .command(inference)
  .command(recorder)
  .command(schema)
  .command(models)
  .command(state)
  .command(operator)
  .version('version', 'Show the version', version)
  .help('help', 'Show this help')
  .alias('h', 'help')
  .wrap(Math.min(120, process.stdout.columns ?? 100))
  .fail((message, error) => {
    if (error !== undefined && error.name !== 'YError') throw error
    const said = unknownVariable(message, process.env, flags) ?? oneLine(message)
    throw new AppError('InvalidArgument', `${said}; see "anomaly ${commandOf(message)}--help"`)
  })

function checkFlags(flags: Readonly<Record<string, unknown>>): true {
  for (const [name, value] of Object.entries(flags)) {
    if (Number.isNaN(value)) throw new AppError('InvalidArgument', `--${name}: must be a number`)
    if (Array.isArray(value) && !['_', 'input', 'history', 'names', 'events', 'peer'].includes(name))
      throw new AppError('InvalidArgument', `--${name}: may be given only once`)
  }
  return true
}

/** Names of the flags of the command that was parsed. */
function flags(): string[] {
  // Its types lack this method.
  const { key } = (cli as unknown as { getOptions(): { readonly key: object } }).getOptions()
  return Object.keys(key).filter((name) => name.length > 1)
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ')
}

function commandOf(message: string): string {
  const [first = ''] = process.argv.slice(2)
  return /^[a-z]+$/.test(first) && !message.startsWith('Unknown command') ? `${first} ` : ''
}

removeServices(process.env)

exitOnUnhandled(process)

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe that had enough, such as `head`, needs no words.
  if (error.code !== 'EPIPE') process.stderr.write(`anomaly: standard output: cannot be written: ${messageOf(error)}\n`)
  process.exit(1)
})

try {
  await cli.parseAsync()
} catch (error) {
  for (const line of messageOf(error).split('\n')) process.stderr.write(`anomaly: ${line}\n`)
  if (!(error instanceof AppError)) process.stderr.write(`${error instanceof Error ? error.stack : ''}\n`)
  process.exitCode = error instanceof AppError ? error.exitCode : 1
}
