import type { GuessedMapping } from './guess-mapping.ts'

export interface PipelineText {
  readonly name: string
  /** What the events were read from, for a comment. */
  readonly source: string
  readonly rows: number
  readonly mapping: GuessedMapping
}

/** The pipeline as a document with comments, to be read and changed. */
export function pipelineText({ name, source, rows, mapping }: PipelineText): string {
  const { id, time, key, value, features, featureFields, labels, others } = mapping
  const lines = [
    `# Guessed from the first ${rows} events of ${source}: look it over. Every field is described in docs/operator.md.`,
    'apiVersion: anomaly.com/v1alpha1',
    'kind: AnomalyPipeline',
    'metadata:',
    `  name: ${name}`,
    'spec:',
    '  source:',
    '    brokers: [localhost:9092]      # for a cluster: where Kafka is. Not needed for backtest and run',
    `    topic: ${name}`,
    '  event:',
    field('id', id, 'identifies the event', 'no field is unique: topic-partition-offset, or the number of the row'),
    field('time', time, 'when it happened', 'no field is a time: the time of arrival'),
    field('key', key, 'whose history it belongs to', 'no field repeats: one history for all'),
    field('value', value, 'the number that matters most', 'there is none'),
    ...featureLines(features, featureFields),
    '  detection:',
    '    alertBudgetPerMillion: 1000    # how many events per million may be called anomalies',
    '    # rules:                       # fixed limits that always alert',
    `    #   - {name: limit, field: value, above: "1000"}`,
    '  results:',
    `    topic: ${name}-verdicts`,
    `    deadLetterTopic: ${name}-dead-letters`,
  ]
  if (labels.length > 0)
    lines.push(
      `# ${labels.map(quoted).join(', ')}: looks like the truth, and is no feature. Measure against it: backtest --label ${labels[0]}`,
    )
  if (others.length > 0)
    lines.push(`# Taken for nothing: ${others.slice(0, 40).map(quoted).join(', ')}${others.length > 40 ? ', …' : ''}`)
  return `${lines.join('\n')}\n`
}

function featureLines(features: string | undefined, featureFields: readonly string[]): readonly string[] {
  if (features !== undefined) return [field('features', features, 'an object of numbers', '')]
  if (featureFields.length === 0) return [field('features', undefined, '', 'there are none')]
  return [
    '    featureFields:                 # further numbers',
    ...featureFields.map((name) => `      - ${quoted(name)}`),
  ]
}

function field(name: string, path: string | undefined, meaning: string, without: string): string {
  return `${`    ${name}: ${path === undefined ? '""' : quoted(path)}`.padEnd(34)} # ${path === undefined ? without : meaning}`
}

/** As YAML would read it again. */
function quoted(name: string): string {
  return /^[A-Za-z_][\w.-]*$/.test(name) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(name)
    ? name
    : JSON.stringify(name)
}
