/** Flags that several commands have. */

export const pipelineFile = {
  alias: 'f',
  type: 'string',
  demandOption: true,
  requiresArg: true,
  describe: 'File with the AnomalyPipeline',
} as const
export const input = {
  type: 'string',
  array: true,
  requiresArg: true,
  describe: 'File or glob with events, one a line (JSONL, CSV, also .gz); - is standard input. May be repeated',
} as const
export const format = {
  choices: ['jsonl', 'csv'] as const,
  describe: "Format of the input; by default by the file's extension, JSONL where it has none",
}
export const output = {
  type: 'string',
  requiresArg: true,
  describe: 'File for the verdicts as JSONL; - is standard output',
} as const

export const onnxFolder = {
  type: 'string',
  requiresArg: true,
  describe:
    'Folder with the ONNX models of ConfigMaps and volumes, in a folder a detector; /etc/anomaly/onnx by default',
} as const
export const delimiter = {
  type: 'string',
  requiresArg: true,
  describe: 'What parts the fields of CSV: a character, or tab; by default found by the header',
} as const
export const seed = { type: 'number', default: 1, requiresArg: true, describe: 'Seed of everything random' } as const
export const rejects = {
  type: 'string',
  requiresArg: true,
  describe: 'File for the events that cannot be read, with the reasons',
} as const
export const logLevel = {
  choices: ['debug', 'info', 'warn', 'error', 'silent'] as const,
  default: 'info' as const,
  describe: 'Least severe log line to write',
}

export const logFormat = {
  choices: ['json', 'text'] as const,
  describe: 'Log lines for machines or for people; by default as text on a terminal, else as JSON',
}
export const probesPort = {
  type: 'number',
  default: 9090,
  requiresArg: true,
  describe: 'Port of /livez, /readyz, /metrics and /status; 0 takes a free one',
} as const
export const schemaRegistry = {
  'schema-registry-username-file': {
    type: 'string',
    requiresArg: true,
    describe: "File with the user's name for the schema registry",
  },
  'schema-registry-password-file': {
    type: 'string',
    requiresArg: true,
    describe: "File with the user's password for the schema registry",
  },
} as const
export const redis = {
  'redis-url': {
    type: 'string',
    default: 'redis://localhost:6379',
    requiresArg: true,
    describe: 'redis:// or rediss://[user:password@]host[:port][/database]',
  },
  'redis-ca-file': {
    type: 'string',
    requiresArg: true,
    describe: 'Authorities (PEM) that sign the certificate of Redis',
  },
  'redis-cert-file': { type: 'string', requiresArg: true, describe: 'Client certificate (PEM) for Redis' },
  'redis-key-file': { type: 'string', requiresArg: true, describe: 'Key (PEM) of that certificate' },
} as const
export const postgres = {
  'postgres-url': {
    type: 'string',
    requiresArg: true,
    describe:
      'Address of the history, postgresql://user:password@host[:port]/database; of its parameters sslmode counts',
  },
  'postgres-ca-file': {
    type: 'string',
    requiresArg: true,
    describe: 'Authorities (PEM) that sign the certificate of PostgreSQL',
  },
  'postgres-cert-file': { type: 'string', requiresArg: true, describe: 'Client certificate (PEM) for PostgreSQL' },
  'postgres-key-file': { type: 'string', requiresArg: true, describe: 'Key (PEM) of that certificate' },
} as const
export const secretsFolder = {
  type: 'string',
  requiresArg: true,
  describe:
    'Folder with the Secrets that notifications name: the entry `key` of the Secret `name` is the file name/key',
} as const
export const kafka = {
  'kafka-ca-file': {
    type: 'string',
    requiresArg: true,
    describe: 'Authorities (PEM) that sign the certificates of the brokers',
  },
  'kafka-cert-file': { type: 'string', requiresArg: true, describe: 'Client certificate (PEM) for the brokers' },
  'kafka-key-file': { type: 'string', requiresArg: true, describe: 'Key (PEM) of that certificate' },
  'kafka-username-file': { type: 'string', requiresArg: true, describe: "File with the user's name, for SASL" },
  'kafka-password-file': { type: 'string', requiresArg: true, describe: "File with the user's password, for SASL" },
} as const
export const inferenceAddress = {
  type: 'string',
  default: 'localhost:50051',
  requiresArg: true,
  describe: 'host:port of the inference service',
} as const
export const otlpEndpoint = {
  type: 'string',
  requiresArg: true,
  describe: 'Receiver of traces over OTLP/HTTP, such as http://localhost:4318; no traces if absent',
} as const
export const drainSeconds = {
  type: 'number',
  default: 3,
  requiresArg: true,
  describe: 'Time between SIGTERM and the end of the server; callers go elsewhere meanwhile',
} as const
