import { type DestinationStream, type LevelWithSilent, pino } from 'pino'

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
  /** Lines for people instead of JSON; by default where stderr is a terminal. */
  readonly pretty?: boolean | undefined
  /** By default stderr: stdout belongs to verdicts. Lines are written before the call returns, so none is lost at exit. */
  readonly destination?: DestinationStream | undefined
}

/** JSON lines with `level`, `time` (RFC 3339), the fields and `msg`. */
export async function createLogger(options: LoggerOptions = {}): Promise<Logger> {
  const { level = 'info', pretty = process.stderr.isTTY === true } = options
  const destination = options.destination ?? pino.destination({ dest: 2, sync: true })
  const stream = pretty ? await forPeople(destination) : destination
  const logger: Logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
    },
    stream,
  )
  return logger
}

async function forPeople(destination: DestinationStream): Promise<DestinationStream> {
  const { prettyFactory } = (await import('pino-pretty')).default
  const format = prettyFactory({ translateTime: 'SYS:HH:MM:ss.l', errorLikeObjectKeys: ['error'] })
  return { write: (line) => destination.write(format(line)) }
}
