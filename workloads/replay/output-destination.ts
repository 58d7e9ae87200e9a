import { LineWriter } from '../files/line-writer.ts'
import { type Destination, noAnswers } from './destination.ts'

/** Standard output, an event a line. */
export function outputDestination(): Destination {
  const writer = new LineWriter('-')
  return {
    async send(events) {
      for (const event of events) writer.write(event)
      writer.flush()
      return noAnswers
    },
    close: () => writer.close(),
  }
}
