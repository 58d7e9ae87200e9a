import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { AppError, messageOf } from '../../lib/errors.ts'
import type { Part } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/log.ts'
import { lineOfFile } from '../settings/text-file.ts'

export interface BearerTokensOptions {
  /** A mounted Secret: each file in it is a token. */
  readonly folder?: string | undefined
  readonly file?: string | undefined
  readonly log: Logger
  /** How often they are read again. */
  readonly everyMs?: number | undefined
}

export interface BearerTokens extends Part {
  current(): readonly string[]
}

/**
 * Tokens from files, read again so that they can be changed while the process runs. What cannot be read then leaves the
 * former tokens as they are.
 * @throws AppError InvalidArgument where there is no token to begin with
 */
export function createBearerTokens(options: BearerTokensOptions): BearerTokens {
  const { log, everyMs = 5000 } = options
  let tokens = readTokens(options)
  let problem: string | undefined
  let timer: NodeJS.Timeout | undefined

  function refresh(): void {
    try {
      const read = readTokens(options)
      if (problem === undefined && read.join('\n') === tokens.join('\n')) return
      tokens = read
      problem = undefined
      log.info({ tokens: tokens.length }, 'bearer tokens changed')
    } catch (error) {
      if (problem === undefined) log.error({ error }, 'bearer tokens cannot be read again: the former ones stay')
      problem = messageOf(error)
    }
  }

  return {
    name: 'bearer tokens',
    current: () => tokens,
    start() {
      timer = setInterval(refresh, everyMs)
      timer.unref()
    },
    stop: () => clearInterval(timer),
  }
}

function readTokens({ folder, file }: BearerTokensOptions): readonly string[] {
  const paths = [...(file === undefined ? [] : [file]), ...(folder === undefined ? [] : filesOf(folder))]
  if (paths.length > 0) return paths.map(lineOfFile)
  throw new AppError('InvalidArgument', `Cannot ask for bearer tokens: there is no file in ${folder}`)
}

/** Kubernetes keeps a Secret's versions in hidden folders beside links to the current files. */
function filesOf(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => !name.startsWith('.'))
    return names.sort().map((name) => join(folder, name))
  } catch (error) {
    throw new AppError('InvalidArgument', `Cannot read ${folder}: ${messageOf(error)}`, { cause: error })
  }
}
