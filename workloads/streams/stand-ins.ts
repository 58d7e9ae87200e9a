import { deadLetterHeaders } from '../wire/dead-letter.ts'
import type { KafkaStreamOptions } from './kafka.ts'
import { lineOf } from './problem.ts'

/** The dead letters that stand in for what cannot be published. */
export function standIns(deadLetterTopic: string): Pick<KafkaStreamOptions, 'tooLarge' | 'unprocessable'> {
  return {
    // Of a dead letter what leads to the record is kept.
    tooLarge: ({ topic, key, headers }) => ({
      topic: deadLetterTopic,
      key,
      value: null,
      headers: {
        'anomaly-reason': 'TooLarge',
        'anomaly-message': `the record with the reason for its rejection is larger than ${topic} takes`,
        'anomaly-topic': headers?.['anomaly-topic'],
        'anomaly-partition': headers?.['anomaly-partition'],
        'anomaly-offset': headers?.['anomaly-offset'],
      },
    }),
    unprocessable: ({ key, value, headers, offset }, of, error) => ({
      topic: deadLetterTopic,
      key,
      value,
      headers: deadLetterHeaders(headers, { ...of, offset, reason: 'Unprocessable', message: lineOf(error) }),
    }),
  }
}
