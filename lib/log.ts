import { type DestinationStream, type LevelWithSilent, pino } from 'pino'
import { AppError, messageOf } from './errors.ts'
import { traceFields } from './tracing.ts'

type Write = (fields: object, message: string) => void

/** Fields first, message second; a thrown value goes under `error`. One line per change of state, never per event. */
export interface Logger {
  readonly debug: Write
  readonly info: Write
  readonly warn: Write
  readonly error: Write
}

export interface LoggerOptions {
  readonly level?: LevelWithSilent | undefined
  /** `text`: lines for people; by default where stderr is a terminal, else JSON. */
  readonly format?: 'json' | 'text' | undefined
  /** By default stderr: stdout belongs to verdicts. Lines are written before the call returns, so none is lost at exit. */
  readonly destination?: DestinationStream | undefined
}

/** JSON lines with `level`, `time` (RFC 3339), `traceId` and `spanId` within a trace, the fields and `msg`. */
export async function createLogger(options: LoggerOptions = {}): Promise<Logger> {
  const { level = 'info', format = process.stderr.isTTY === true ? 'text' : 'json' } = options
  const destination = options.destination ?? pino.destination({ dest: 2, sync: true })
  const stream = format === 'text' ? await forPeople(destination) : destination
  const logger: Logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      mixin: () => traceFields(),
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: errorFields },
    },
    stream,
  )
  return logger
}

async function forPeople(destination: DestinationStream): Promise<DestinationStream> {
  const { prettyFactory } = (await import('pino-pretty')).default
  const format = prettyFactory({
    translateTime: 'SYS:HH:MM:ss.l',
    errorLikeObjectKeys: ['error'],
    customPrettifiers: { error: (error) => JSON.stringify(error, null, 'stack' in Object(error) ? 2 : 0) },
  })
  return { write: (line) => destination.write(format(line)) }
}

/** What comes of a server that is away, or is not there yet. */
const outages = new Set(['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'ETIMEDOUT', 'ECONNRESET', 'EHOSTUNREACH'])

/** Outages happen and pass: they need no stack. */
function errorFields(error: unknown): unknown {
  const chain = withCauses(error)
  const code = chain.map(outageCode).find((found) => found !== undefined)
  if (code === undefined || (error instanceof AppError && !error.retriable))
    return pino.stdSerializers.err(error as Error)
  // Who catches an error often says its message too.
  const say = (text: string, cause: string) => (text.includes(cause) ? text : `${text}: ${cause}`)
  return { code, message: chain.map(messageOf).reduce(say) }
}

function outageCode(error: Error): string | undefined {
  if (error instanceof AppError) return error.retriable ? error.code : undefined
  const { code } = error as NodeJS.ErrnoException
  return code !== undefined && outages.has(code) ? code : undefined
}

function withCauses(error: unknown): readonly Error[] {
  const chain: Error[] = []
  for (let at = error; at instanceof Error && !chain.includes(at); at = at.cause) chain.push(at)
  return chain
}
