import { didYouMean } from '../lib/pipeline/did-you-mean.ts'

/** Every flag may be set in the environment: --log-level as ANOMALY_LOG_LEVEL. */
const prefix = 'ANOMALY_'

/** Kubernetes describes every Service of a namespace in the environment: that of `anomaly-redis` must not pass for flags. */
export function removeServices(env: NodeJS.ProcessEnv): void {
  for (const [name, value] of Object.entries(env))
    if (
      /^ANOMALY_(.*_SERVICE_(HOST|PORT)|.*PORT_\d+_|SERVICE_)/.test(name) ||
      (/^ANOMALY_(.*_)?PORT$/.test(name) && /^\w+:/.test(value!))
    )
      delete env[name]
}

/** Says which variable yargs means by an unknown argument: to yargs `ANOMALY_LOG_LEVEL` is an argument `logLevel`. */
export function unknownVariable(
  message: string,
  env: NodeJS.ProcessEnv,
  flags: () => readonly string[],
): string | undefined {
  const names = /^Unknown arguments?: (.+)$/.exec(message)?.[1]?.split(', ') ?? []
  const plain = (name: string) => name.replaceAll(/[-_]/g, '').toLowerCase()
  const unknown = new Set(names.map(plain))
  const variable = Object.keys(env).find(
    (name) => name.startsWith(prefix) && unknown.has(plain(name.slice(prefix.length))),
  )
  if (variable === undefined) return undefined
  const meant = didYouMean(
    variable.slice(prefix.length),
    flags().map((name) => name.replaceAll('-', '_').toUpperCase()),
  )
  return `Unknown environment variable: ${variable}${meant === undefined ? '' : ` (did you mean ${prefix}${meant}?)`}`
}
