import yargs, { type Argv } from 'yargs'
import { hideBin } from 'yargs/helpers'
import { AppError, messageOf } from '../lib/errors.ts'
import { exitOnUnhandled } from '../lib/unhandled.ts'
import { version } from '../lib/version.ts'
import type { PluginArguments } from '../operator/plugin/plugin-commands.ts'

/** Those of kubectl that say where the pipeline is; they are handed on to it. */
const access = ['namespace', 'context', 'kubeconfig'] as const

interface Given {
  readonly name?: string | undefined
  readonly namespace?: string | undefined
  readonly context?: string | undefined
  readonly kubeconfig?: string | undefined
}

function argumentsOf(given: Given): PluginArguments {
  const kubectl = access.flatMap((flag) => (given[flag] === undefined ? [] : [`--${flag}=${given[flag]}`]))
  return { name: given.name, kubectl }
}

const commands = () => import('../operator/plugin/plugin-commands.ts')
const print = (text: string): void => void process.stdout.write(text)
const pipeline = <T>(command: Argv<T>) =>
  command.positional('name', { type: 'string', demandOption: true, describe: 'Name of the AnomalyPipeline' })

const cli = yargs(hideBin(process.argv))
  .scriptName('kubectl anomaly')
  .strict()
  .recommendCommands()
  .demandCommand(1, 'What should be done? See kubectl anomaly --help')
  .options({
    namespace: { alias: 'n', type: 'string', requiresArg: true, describe: 'Namespace of the pipeline' },
    context: { type: 'string', requiresArg: true, describe: 'Context of the kubeconfig' },
    kubeconfig: { type: 'string', requiresArg: true, describe: 'Path of the kubeconfig' },
  })
  .command(
    'status [name]',
    'Show on one screen how a pipeline is, or each of the namespace',
    (command) => command.positional('name', { type: 'string', describe: 'Name of the AnomalyPipeline' }),
    async (given) => print(await (await commands()).statusCommand(argumentsOf(given))),
  )
  .command(
    'verdicts <name>',
    'Print verdicts as they are published, until it is ended',
    (command) =>
      pipeline(command).options({
        alerts: { type: 'boolean', default: false, describe: 'Only verdicts that alert' },
        follow: { alias: 'f', type: 'boolean', default: true, hidden: true },
      }),
    async (given) => {
      process.exitCode = await (await commands()).verdictsCommand(argumentsOf(given), given.alerts)
    },
  )
  .command(
    'models <name>',
    'List the models that a pipeline keeps, to pin one or let one challenge',
    (command) => pipeline(command),
    async (given) => print(await (await commands()).modelsCommand(argumentsOf(given))),
  )
  .command(
    'pause <name>',
    'Stop the pods; offsets and everything learnt are kept',
    (command) => pipeline(command),
    async (given) => print(await (await commands()).switchCommand(argumentsOf(given), 'Paused')),
  )
  .command(
    'resume <name>',
    'Start the pods again, as many as there were',
    (command) => pipeline(command),
    async (given) => print(await (await commands()).switchCommand(argumentsOf(given), 'Running')),
  )
  .command(
    'restart <name>',
    'Replace the pods, one after the other',
    (command) => pipeline(command),
    async (given) => print(await (await commands()).restartCommand(argumentsOf(given))),
  )
  .command(
    'tune <name>',
    'Say how to tune a pipeline on the events of its topic, as commands',
    (command) => pipeline(command),
    async (given) => print(await (await commands()).tuneCommand(argumentsOf(given))),
  )
  .command(
    'report <name>',
    'Print all that somebody who helps needs, without secrets, as YAML',
    (command) => pipeline(command),
    async (given) => print(await (await commands()).reportCommand(argumentsOf(given))),
  )
  .version('version', 'Show the version', version)
  .help('help', 'Show this help')
  .alias('h', 'help')
  .fail((message, error) => {
    throw error ?? new AppError('InvalidArgument', message)
  })

exitOnUnhandled(process)

try {
  await cli.parseAsync()
} catch (error) {
  for (const line of messageOf(error).split('\n')) process.stderr.write(`kubectl anomaly: ${line}\n`)
  process.exitCode = error instanceof AppError ? error.exitCode : 1
}
