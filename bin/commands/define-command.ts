import type { CommandModule } from 'yargs'

/**
 * Gives the handler the types of its flags. The handler imports what it runs: `anomaly --help` must not wait for servers
 * and mathematics that it does not need.
 */
export function defineCommand<Flags>(command: CommandModule<object, Flags>): CommandModule<object, Flags> {
  return command
}

/** What kubectl has below the flags. yargs's own examples come in columns too narrow to copy a command from. */
export function closing(usage: string, ...examples: readonly (readonly [what: string, command: string])[]): string {
  const shown = examples.map(([what, command]) => `  # ${what}\n  ${command}\n`).join('\n')
  return `${shown === '' ? '' : `Examples:\n${shown}\n`}Usage:\n  $0 ${usage}`
}
