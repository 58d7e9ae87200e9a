import { closeSync, createReadStream, openSync, writeSync } from 'node:fs'

const block = 256 * 1024

/** Reads events as JSONL, parses each and writes its line again, in blocks: what no job over events can do without. */
export async function bareLoop(input: string, output: string, onEvent: () => void): Promise<void> {
  const file = openSync(output, 'w')
  let lines: string[] = []
  let length = 0
  const take = (line: string) => {
    const event: { readonly eventId?: string } = JSON.parse(line)
    if (event.eventId === undefined) throw new Error('Cannot use this run: an event without an id')
    lines.push(line, '\n')
    length += line.length
    onEvent()
    if (length < block) return
    writeSync(file, lines.join(''))
    lines = []
    length = 0
  }
  let rest = ''
  for await (const chunk of createReadStream(input, { encoding: 'utf8', highWaterMark: 1 << 20 })) {
    const text: string = rest + chunk
    let from = 0
    for (let to = text.indexOf('\n'); to >= 0; to = text.indexOf('\n', from)) {
      take(text.slice(from, to))
      from = to + 1
    }
    rest = text.slice(from)
  }
  writeSync(file, lines.join(''))
  closeSync(file)
}
