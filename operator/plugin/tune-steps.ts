import type { Pipeline } from '../../lib/pipeline/spec.ts'

/**
 * How to tune a pipeline on what its topic holds, as commands. It is not done here: events are many and other people's,
 * so who tunes says where they go.
 *
 * @param get what prints the document
 */
export function tuneSteps({ metadata: { name }, spec: { source, event } }: Pipeline, get: string): string {
  const { brokers, topic, tls, sasl, schemaRegistry } = source
  const needsAccess = tls !== undefined || sasl !== undefined
  const access = needsAccess ? ' --consumer.config client.properties' : ''
  const notes = [
    'The history keeps verdicts; events, which a pipeline is tuned on, are in its topic.',
    ...(needsAccess ? ['client.properties has the access to the brokers.'] : []),
    ...(schemaRegistry === undefined
      ? []
      : ['Events with a schema are no JSON: export them by a consumer that knows it.']),
    ...(event.key === '$key'
      ? ['Keys of records are not exported: put them into the events as a field, and name it in event.key.']
      : []),
  ]
  return `${[
    ...notes.map((note) => `# ${note}`),
    `${get} > ${name}.yaml`,
    `kafka-console-consumer.sh --bootstrap-server ${brokers.join(',')} --topic ${topic}${access} \\`,
    `  --from-beginning --max-messages 1000000 --timeout-ms 30000 > ${name}.jsonl`,
    `anomaly tune -f ${name}.yaml --input ${name}.jsonl --output ${name}-tuned.yaml --report ${name}.html`,
    `# Then take spec.detection of ${name}-tuned.yaml into the document that is applied.`,
  ].join('\n')}\n`
}
