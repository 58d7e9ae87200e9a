import { episodeChanges } from '../detection/episode.ts'
import type { JsonSchema } from './json-schema.ts'

export const query = (name: string, schema: JsonSchema, description: string, required = false) => {
  return { name, in: 'query', required, schema, description }
}
const inPath = (name: string) => ({ name, in: 'path', required: true, schema: { type: 'string' } })
const text = { type: 'string' }
const time = { type: ['integer', 'string'] }
export const key = query('key', text, 'Of one key.')
const from = query('from', time, 'Time of the event, in milliseconds since 1970 or as RFC 3339; inclusive.')
const to = query('to', time, 'The same, exclusive.')
export const page = [
  query('limit', { type: 'integer', minimum: 0, maximum: 1000, default: 100 }, 'Items of a page.'),
  query('cursor', text, '`next` of the page before.'),
]
const optionalNumber = { type: ['number', 'null'] }
const integer = { type: 'integer', minimum: 0 }
const optionalText = { type: ['string', 'null'] }

type Problems = (...statuses: readonly number[]) => Readonly<Record<string, unknown>>

const answer = (description: string, schema: JsonSchema, ...others: readonly string[]) => {
  const more = others.map((type) => [type, { schema: text }])
  return { 200: { description, content: { 'application/json': { schema }, ...Object.fromEntries(more) } } }
}
const get = (operationId: string, summary: string, parameters: readonly unknown[], responses: object) => {
  return { get: { operationId, summary, parameters, responses } }
}

/** What a process describes that serves the console. */
export function overviewPaths(problems: Problems) {
  return {
    '/api/v1/overview': get('getOverview', 'What the pipeline is doing at present', [], {
      ...answer('The present', { $ref: '#/components/schemas/Overview' }),
      ...problems(400, 401, 500, 503),
    }),
  } as const
}

/** What a process describes that keeps a history. */
export function historyPaths(problems: Problems) {
  const failures = problems(400, 401, 500, 503)
  const absent = problems(400, 401, 404, 500, 503)
  return {
    '/api/v1/results': get(
      'getResults',
      'Verdicts of the past, the latest first',
      [
        key,
        from,
        to,
        query('anomalies', { enum: ['true', 'false'] }, 'Only those that alerted.'),
        query('reason', text, 'Feature that the strongest reason names.'),
        query('format', { enum: ['json', 'ndjson', 'csv'] }, 'ndjson and csv hold all that matches, not a page.'),
        ...page,
      ],
      {
        ...answer('A page', { $ref: '#/components/schemas/Results' }, 'application/x-ndjson', 'text/csv'),
        ...failures,
      },
    ),
    '/api/v1/results/{eventId}/event': get('getEvent', 'An event as it came', [inPath('eventId')], {
      ...answer('The event: in a cluster as long as its topic has it, else where it stood out', {}),
      ...problems(400, 401, 404, 500, 503, 504),
    }),
    '/api/v1/episodes': get(
      'getEpisodes',
      'Episodes as they are now, the one with the latest event first',
      [
        key,
        from,
        to,
        query('state', { enum: ['Open', 'Closed'] }, 'Only those.'),
        query('format', { enum: ['json', 'ndjson'] }, 'ndjson holds all that match, not a page.'),
        ...page,
      ],
      { ...answer('A page', { $ref: '#/components/schemas/Episodes' }, 'application/x-ndjson'), ...failures },
    ),
    '/api/v1/episodes/{episodeId}': get('getEpisode', 'An episode as it is now', [inPath('episodeId')], {
      ...answer('The episode', { $ref: '#/components/schemas/Episode' }),
      ...absent,
    }),
    '/api/v1/keys': get(
      'getKeys',
      'Keys that alerted, most alerts first',
      [
        { ...from, required: true },
        { ...to, required: true },
        query('buckets', { ...integer, maximum: 2000, default: 60 }, 'Stretches that the time is cut into.'),
        query('limit', { ...integer, maximum: 100, default: 10 }, 'Keys.'),
        query('offset', integer, 'Keys to leave out.'),
      ],
      { ...answer('The keys', { $ref: '#/components/schemas/Keys' }), ...failures },
    ),
    '/api/v1/what-if': get(
      'getWhatIf',
      'What another alert budget would have made of the past',
      [
        query('budget', { ...integer, minimum: 1, maximum: 100_000 }, 'Events per million that may alert.', true),
        { ...from, required: true },
        { ...to, required: true },
      ],
      {
        ...answer('Beside what it was', { $ref: '#/components/schemas/WhatIf' }),
        ...problems(400, 401, 409, 500, 503, 504),
      },
    ),
    '/api/v1/keys/{key}/series': get(
      'getSeries',
      "A key's events over time",
      [
        inPath('key'),
        from,
        to,
        query('points', { ...integer, maximum: 2000, default: 500 }, 'Stretches at most that the time is cut into.'),
      ],
      { ...answer('The series', { $ref: '#/components/schemas/Series' }), ...failures },
    ),
  } as const
}

const tally = object({ alerts: integer, episodes: integer })
const someEpisodes = object({
  count: integer,
  episodes: { type: 'array', items: { $ref: '#/components/schemas/Episode' }, description: 'The highest peaks.' },
})

export const overviewSchemas: Readonly<Record<string, JsonSchema>> = {
  Overview: object(
    {
      pipeline: text,
      source: text,
      results: text,
      budgetPerMillion: { ...integer, description: 'Absent where a fixed threshold decides.' },
      refractorySeconds: integer,
      lastHour: object({ events: integer, alerts: integer, episodes: { type: 'integer' }, rejected: integer }),
      openEpisodes: integer,
      takesFeedback: { type: 'boolean', description: 'Whether /api/v1/feedback is answered.' },
      keys: integer,
      modelVersion: text,
      modelFitTime: { ...text, format: 'date-time', description: 'When the model was fitted, where that is known.' },
      eventsPerSecond: { type: 'number' },
      latencyMs: object({ median: { type: 'number' }, p95: { type: 'number' } }),
      waiting: integer,
      rejected: {
        type: 'array',
        items: object({ reason: text, count: integer, message: text, example: text }, ['message', 'example']),
      },
      processes: {
        type: 'object',
        additionalProperties: integer,
        description: 'How many processes of each role answer; absent where all of it is one.',
      },
      health: { $ref: '#/components/schemas/Health' },
      keepsHistory: { type: 'boolean', description: 'Whether what was judged before can be asked for.' },
      since: { type: 'number', description: 'Time of the earliest event that is kept; the present where none is.' },
      now: { type: 'number', description: 'Time of the latest; the present where none is kept.' },
    },
    ['budgetPerMillion', 'latencyMs', 'modelFitTime', 'processes'],
  ),
}

export const historySchemas: Readonly<Record<string, JsonSchema>> = {
  Episode: object(
    {
      episodeId: { ...text, description: 'The event that opened it; `stream:` in front for one of the stream.' },
      change: { enum: episodeChanges },
      state: { enum: ['Open', 'Closed'] },
      userId: { ...optionalText, description: 'The key; null for an episode of the stream.' },
      firstTimestamp: optionalNumber,
      lastTimestamp: optionalNumber,
      alerts: integer,
      events: integer,
      keys: integer,
      peakScore: { type: 'number' },
      peakEventId: text,
      reasons: { type: 'array', items: { $ref: '#/components/schemas/Reason' } },
      partOf: { ...text, description: 'The episode of the stream that took it in.' },
    },
    ['partOf'],
  ),
  WhatIf: object({
    budgetPerMillion: integer,
    from: { ...optionalNumber, description: 'Time of the first event that was decided again; null without any.' },
    to: { ...optionalNumber, description: 'Time of the last.' },
    events: integer,
    was: tally,
    wouldBe: tally,
    check: {
      ...object({ alerts: integer, same: integer }),
      description:
        'Alerts of the same events decided again by the present document, and how many of them were recorded as alerts: how far the answer can be trusted.',
    },
    come: someEpisodes,
    go: someEpisodes,
    yaml: { ...text, description: 'What to put into the document for this budget.' },
  }),
  Results: pageOf('results', 'Verdict'),
  Episodes: pageOf('episodes', 'Episode'),
  Keys: object({
    keys: {
      type: 'array',
      items: object({ key: text, alerts: integer, scores: { type: 'array', items: { type: 'number' } } }),
    },
  }),
  Series: object({
    key: text,
    points: {
      type: 'array',
      items: object({
        time: { type: 'number' },
        events: integer,
        value: optionalNumber,
        low: optionalNumber,
        high: optionalNumber,
        score: { type: 'number' },
        threshold: { type: 'number' },
        alerts: integer,
        expected: optionalNumber,
      }),
    },
  }),
}

/** A part of a list, and how to go on. */
export function pageOf(name: string, item: string): JsonSchema {
  return object({ [name]: { type: 'array', items: { $ref: `#/components/schemas/${item}` } }, next: optionalText })
}

function object(properties: Readonly<Record<string, JsonSchema>>, optional: readonly string[] = []): JsonSchema {
  return { type: 'object', properties, required: Object.keys(properties).filter((name) => !optional.includes(name)) }
}
