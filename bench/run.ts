import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { isReached, numberAt, type Result, targets, unmeasured } from './targets.ts'

/**
 * Every benchmark in turn, or those named: `node bench/run.ts pipeline latency`. Prints a table and writes
 * docs/benchmarks.md. What stands there of benchmarks that did not run is kept.
 */

const file = join(import.meta.dirname, '../docs/benchmarks.md')
const named = process.argv.slice(2)
const all = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.bench.ts'))
  .map((name) => name.slice(0, -'.bench.ts'.length))
const unknown = named.filter((name) => !all.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`Cannot run ${unknown.join(', ')}: there are ${all.join(', ')}\n`)
  process.exit(2)
}

/** The benchmark's JSON line. Its other output goes to standard error. */
async function run(name: string): Promise<Result> {
  const path = join(import.meta.dirname, `${name}.bench.ts`)
  const child = spawn(process.execPath, ['--no-warnings', path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk
  })
  const [code] = (await once(child, 'close')) as [number | null]
  const line = output.split('\n').findLast((text) => text.startsWith('{'))
  if (code !== 0 || line === undefined) return { bench: name, failed: `exit code ${code}` }
  const load = loadavg().map((mean) => Number(mean.toFixed(1)))
  return { ...(JSON.parse(line) as Result), date: new Date().toISOString().slice(0, 16), loadAfterwards: load }
}

const separator = '## Results as printed'

function earlier(): Map<string, Result> {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  const lines = text.slice(text.indexOf(separator)).split('\n')
  const results = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Result)
  return new Map(results.map((result) => [String(result.bench), result]))
}

/** What a person wrote between the tables and the results, such as where time goes: it is kept. */
function notes(): string {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  return /## Notes\n[\s\S]*?(?=\n## Results as printed)/.exec(text)?.[0] ?? '## Notes\n'
}

function version(command: string, args: readonly string[], pattern: RegExp): string {
  try {
    const output = execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    return pattern.exec(output)?.[1] ?? output.trim()
  } catch {
    return 'absent'
  }
}

function rowsOf(results: ReadonlyMap<string, Result>): string[][] {
  return targets.map((target) => {
    const result = results.get(target.bench)
    const number = result === undefined ? undefined : numberAt(result, target.at)
    if (number === undefined) return [target.aim, '', result === undefined ? 'not run' : 'not measured']
    return [target.aim, String(number), isReached(target, number) ? 'yes' : '**no**']
  })
}

const results = earlier()
for (const name of named.length > 0 ? named : all) {
  process.stderr.write(`${name} ...\n`)
  const result = await run(name)
  process.stdout.write(`${JSON.stringify(result)}\n`)
  results.set(name, result)
}

const rows = rowsOf(results)
const width = Math.max(...rows.map(([aim]) => aim!.length))
for (const [aim, number, reached] of rows)
  process.stdout.write(`${aim!.padEnd(width)}  ${number!.padStart(9)}  ${reached!.replaceAll('*', '')}\n`)

const [cpu] = cpus()
const kafka = /const version = '(.+)'/.exec(
  readFileSync(join(import.meta.dirname, '../tools/servers/kafka/kafka.ts'), 'utf8'),
)
const machine = [
  `${cpus().length} cores, ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release()}`,
  `Node ${process.version}, Kafka ${kafka?.[1]}, Redis ${version('redis-server', ['--version'], /v=(\S+)/)}, Java ${version('java', ['--version'], /^\S+ (\S+)/)}`,
]
writeFileSync(
  file,
  `# Benchmarks

Written by \`make bench\` on ${new Date().toISOString().slice(0, 10)}. Servers, clients, baselines and what is measured share the machine; ratios are of the
same run, alternating, medians of all rounds. Compare numbers only within one run.

- ${machine.join('\n- ')}

| target | measured | reached |
|---|---|---|
${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}

Not measured by \`make bench\`:

- ${unmeasured.join('\n- ')}

${notes()}
${separator}

Each of \`min\`, \`median\` and \`max\` is over the rounds.

\`\`\`json
${[...results.values()].map((result) => JSON.stringify(result)).join('\n')}
\`\`\`
`,
)
