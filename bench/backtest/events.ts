import { closeSync, openSync, writeSync } from 'node:fs'
import { random } from '../../workloads/detection/random.ts'

/** Writes events of the shape {eventId, timestamp, userId, value, features} as JSONL: `features` numbers each, `keys` keys. */
export function writeEvents(
  path: string,
  { events, keys, features }: Readonly<Record<'events' | 'keys' | 'features', number>>,
): void {
  const chance = random('backtest.bench')
  const names = Array.from({ length: features }, (_, feature) => `"feature${feature + 1}":`)
  const gaussian = () => Math.sqrt(-2 * Math.log(1 - chance.next())) * Math.cos(2 * Math.PI * chance.next())
  const number = (mean: number) => Math.round(100 * mean * (1 + 0.2 * gaussian())) / 100
  const file = openSync(path, 'w')
  let block = ''
  for (let i = 0; i < events; i++) {
    const numbers = names.map((name, feature) => `${name}${number(10 * (feature + 1))}`).join()
    block += `{"eventId":"event-${i}","timestamp":${1_640_000_000 + Math.floor(i / 100)},"userId":"user-${chance.int(keys)}","value":${number(50)},"features":{${numbers}}}\n`
    if (block.length < 1 << 20 && i < events - 1) continue
    writeSync(file, block)
    block = ''
  }
  closeSync(file)
}
