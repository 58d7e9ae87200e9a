import pg from 'pg'
import { AppError } from '../../lib/errors.ts'
import type { OpenTransaction, PostgresConnection } from './postgres-connection.ts'

/** From one version to the next, each once and in order; what is released never changes. `$schema` stands for its name. */
export const migrations: readonly string[] = [
  `
  CREATE SEQUENCE $schema.verdict_ids;
  CREATE TABLE $schema.verdicts (
    id bigint NOT NULL DEFAULT nextval('$schema.verdict_ids'),
    published timestamptz NOT NULL,
    time timestamptz NOT NULL,
    score double precision NOT NULL,
    threshold double precision NOT NULL,
    value double precision,
    expected double precision,
    is_anomaly boolean NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    feature text COLLATE "C" NOT NULL,
    verdict json NOT NULL,
    event text
  ) PARTITION BY RANGE (published);
  COMMENT ON TABLE $schema.verdicts IS 'A row a verdict; a partition a day (UTC) of when it was published';
  COMMENT ON COLUMN $schema.verdicts.time IS 'Of the event; 1970 where it has none';
  COMMENT ON COLUMN $schema.verdicts.feature IS 'What the strongest reason names';
  CREATE INDEX verdicts_by_event ON $schema.verdicts USING hash (event_id);
  CREATE INDEX verdicts_by_key ON $schema.verdicts (key, time, id);
  CREATE INDEX verdicts_by_time ON $schema.verdicts (time, id);
  CREATE INDEX alerts_by_time ON $schema.verdicts (time, id) WHERE is_anomaly;
  CREATE SEQUENCE $schema.episode_ids;
  CREATE TABLE $schema.episodes (
    id bigint NOT NULL DEFAULT nextval('$schema.episode_ids'),
    published timestamptz NOT NULL,
    first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    episode_id text COLLATE "C" PRIMARY KEY,
    key text COLLATE "C",
    state text COLLATE "C" NOT NULL,
    episode json NOT NULL
  );
  COMMENT ON TABLE $schema.episodes IS 'Each as it is now';
  CREATE INDEX episodes_by_time ON $schema.episodes (last_time, id);
  CREATE INDEX episodes_by_key ON $schema.episodes (key, last_time, id);
  CREATE INDEX episodes_by_published ON $schema.episodes (published);
  CREATE TABLE $schema.positions (
    topic text COLLATE "C",
    partition integer,
    next_offset bigint,
    topic_id text NOT NULL,
    owner bigint NOT NULL,
    PRIMARY KEY (topic, partition)
  ) WITH (fillfactor = 50);
  COMMENT ON TABLE $schema.positions IS 'Up to where the topics are recorded: written in the transaction of the rows';
  `,
]

/** A migration may rewrite a large table, and another recorder waits for that. */
const patience = { statementMs: 3_600_000, lockMs: 3_600_000 }

/** The name of a table, index or sequence of a pipeline. */
export const quoted = (name: string): string => pg.escapeIdentifier(name)

/**
 * Brings the pipeline's schema to the version of this program; whoever comes second waits and finds it done.
 * @throws AppError Unavailable, also where a newer program has been there
 */
export async function migrate(
  connection: PostgresConnection,
  schema: string,
  steps: readonly string[] = migrations,
): Promise<void> {
  await connection.transaction('Prepare', patience, async (transaction) => {
    await lockSchema(transaction, schema)
    const name = quoted(schema)
    const found = await transaction.query('look for the history', 'SELECT FROM pg_namespace WHERE nspname = $1', [
      schema,
    ])
    // Where it is there, no right to create one is needed.
    if (found.length === 0) await transaction.query('create the history', `CREATE SCHEMA ${name}`)
    await transaction.query(
      'create the history',
      `CREATE TABLE IF NOT EXISTS ${name}.migrations (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())`,
    )
    const [at] = await transaction.query<{ version: number }>(
      'read the version of the history',
      `SELECT coalesce(max(version), 0) AS version FROM ${name}.migrations`,
    )
    const { version } = at!
    if (version > steps.length)
      throw new AppError(
        'Unavailable',
        `Cannot use the history ${schema}: it is of version ${version}, and this program knows ${steps.length}; run the newer program`,
        { server: 'history' },
      )
    for (const [index, step] of steps.entries()) {
      if (index < version) continue
      await transaction.query('migrate the history', step.replaceAll('$schema', name))
      await transaction.query('migrate the history', `INSERT INTO ${name}.migrations (version) VALUES ($1)`, [
        index + 1,
      ])
    }
  })
}

/** Held to the end of the transaction: one process at a time changes what tables there are. */
export async function lockSchema(transaction: OpenTransaction, schema: string): Promise<void> {
  await transaction.query('lock the history', 'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [
    `anomaly history ${schema}`,
  ])
}
