import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { loadPipeline } from '../lib/pipeline/load-pipeline.ts'
import { normalSeries } from '../workloads/detection/injected-anomalies.ts'
import type { Verdict } from '../workloads/detection/verdict.ts'
import { temporaryFolder } from '../workloads/files/temporary-folder.ts'
import { simulatePayments } from '../workloads/simulation/simulate-payments.ts'

const launcher = fileURLToPath(new URL('./anomaly', import.meta.url))
const manifest = (name: string) => fileURLToPath(new URL(`../manifests/pipelines/${name}.yaml`, import.meta.url))
const payments = manifest('payments')
const threshold = manifest('threshold')
const seedEvent =
  '{"eventId":"test-123","timestamp":1640000000,"userId":"user-456","value":125.5,"features":{"feature1":10.5,"feature2":20.3}}'

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** What the process has written so far. */
  readonly written: { readonly stdout: string; readonly stderr: string }
  /** Settles with the match when the process has written it; rejects when it ends without. */
  saw(stream: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray>
}

const running = new Set<ChildProcess>()

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(launcher, args, { env: { ...process.env, ...env } })
  running.add(child)
  const written = { stdout: '', stderr: '' }
  const looks = new Set<() => void>()
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      written[stream] += text
      for (const look of looks) look()
    })
  child.stdin.on('error', () => {})
  const ended = once(child, 'close').then(([code]) => {
    running.delete(child)
    return { code, ...written } as Ended
  })
  const saw = (stream: 'stdout' | 'stderr', pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(written[stream])
        if (match === null) return
        looks.delete(look)
        resolve(match)
      }
      looks.add(look)
      look()
      ended.then(() => reject(new Error(`ended without ${pattern}: ${written.stderr}`)))
    })
  return { child, ended, written, saw }
}

function anomaly(
  args: readonly string[],
  { stdin = '', env }: { stdin?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  const { child, ended } = start(args, env)
  child.stdin!.end(stdin)
  return ended
}

const linesOf = (text: string) => text.split('\n').slice(0, -1)
const verdictsOf = (text: string) => linesOf(text).map((line) => JSON.parse(line) as Verdict)

function paymentLines(count: number): string {
  const stream = simulatePayments({ seed: 5, users: 100, startTime: Date.UTC(2024, 0, 1) })
  return Array.from({ length: count }, () => `${JSON.stringify(stream.next().value!.event)}\n`).join('')
}

describe('anomaly', () => {
  const folder = temporaryFolder()
  after(() => folder.remove())
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL')
  })

  it('says what to install where its packages are missing', () => {
    const copy = folder.write('a folder/bin/anomaly', readFileSync(launcher))
    const { status, stderr } = spawnSync('sh', [copy, '--help'], { encoding: 'utf8' })
    expect(status).to.equal(1)
    expect(stderr).to.match(/^anomaly: its packages are missing; install them with: npm install --prefix .*a folder\n$/)
  })

  describe('--help', () => {
    it('reads like that of kubectl: what it does, flags, examples to copy, usage', async () => {
      const all = await anomaly(['--help'])
      expect(all.code).to.equal(0)
      const commands = [...all.stdout.matchAll(/^ {2}anomaly ([a-z]+) +[A-Z]/gm)].map(([, command]) => command!)
      expect(commands).to.include.members(['run', 'backtest', 'replay', 'crd', 'consumer', 'inference'])
      const each = await Promise.all(commands.map((command) => anomaly([command, '--help'])))
      expect(all.stdout).to.match(/^Usage:\n {2}anomaly COMMAND \[flags\]$/m)
      for (const [i, command] of commands.entries()) {
        const { code, stdout, stderr } = each[i]!
        expect([code, stderr], command).to.deep.equal([0, ''])
        expect(stdout, command).to.match(/^[A-Z].*\n/)
        expect(stdout, command).to.match(new RegExp(`^Usage:\\n {2}anomaly ${command}\\b`, 'm'))
        if (command !== 'crd') expect(stdout).to.match(/^Examples:\n {2}# [^\n]+\n {2}[^\n]*anomaly [^\n]+$/m)
      }
    })

    it('loads nothing of what the commands need', async () => {
      const register = `
        import { registerHooks } from 'node:module'
        import { writeSync } from 'node:fs'
        registerHooks({ load: (url, context, next) => { writeSync(2, 'loaded ' + url + '\\n'); return next(url, context) } })`
      const { code, stderr } = await anomaly(['--help'], {
        env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(register)}` },
      })
      expect(code).to.equal(0)
      const files = linesOf(stderr)
        .filter((line) => line.startsWith('loaded file:'))
        .map((line) => line.slice('loaded '.length))
      const own = files
        .filter((file) => !file.includes('/node_modules/') && !file.includes('/bin/commands/'))
        .map((file) => file.split('/').slice(-2).join('/'))
      expect(own).to.have.members([
        'bin/anomaly.ts',
        'bin/environment.ts',
        'lib/errors.ts',
        'pipeline/did-you-mean.ts',
        'lib/unhandled.ts',
        'lib/version.ts',
      ])
      const packages = new Set(files.flatMap((file) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []))
      expect(packages).to.include('yargs')
      for (const name of packages)
        expect(name).to.match(
          /^(yargs|y18n|yargs-parser|cliui|escalade|get-caller-file|string-width|strip-ansi|wrap-ansi|ansi-.*|emoji-regex|get-east-asian-width)$/,
        )
      expect(
        linesOf(stderr).filter((line) => /^loaded node:(http|https|net|tls|zlib|worker_threads|crypto)$/.test(line)),
      ).to.deep.equal([])
    })
  })

  it('says in one line what is wrong with its arguments or files, and exits with 2', async () => {
    const wrongKind = folder.write(
      'kind.yaml',
      'apiVersion: anomaly.com/v1alpha1\nkind: Pipeline\nmetadata: {name: x}\n',
    )
    const broken = folder.write('broken.yaml', 'apiVersion: anomaly.com/v1alpha1\nkind: [\n')
    const two = folder.write('two.yaml', `${readFileSync(threshold, 'utf8')}---\n${readFileSync(threshold, 'utf8')}`)
    const typo = folder.write('typo.yaml', readFileSync(threshold, 'utf8').replace('rules:', 'rule:'))
    const input = folder.write('one.jsonl', `${seedEvent}\n`)
    const table: readonly (readonly [args: readonly string[], message: RegExp])[] = [
      [[], /^Name a command; see "anomaly --help"$/],
      [['detect'], /^Unknown command: detect; see "anomaly --help"$/],
      [['run', '-f', threshold, '--colour'], /^Unknown argument: colour; see "anomaly run --help"$/],
      [['run'], /^Missing required argument: file; see "anomaly run --help"$/],
      [
        ['backtest', '-f', threshold, '--input'],
        /^Not enough arguments following: input; see "anomaly backtest --help"$/,
      ],
      [['backtest', '-f', threshold, '--input', input, '--seed', 'x'], /^--seed: must be a number$/],
      [['backtest', '-f', threshold, '-f', payments, '--input', input], /^--(f|file): may be given only once$/],
      [['run', '-f', threshold, '--simulate', '--input', input], /^--simulate and --input exclude one another$/],
      [['run', '-f', threshold, '--exit-at-end'], /^--exit-at-end needs an end: name an --input$/],
      [['run', '-f', threshold, '--simulate', '--rate', '0'], /^--rate: 0 must be above 0$/],
      [['run', '-f', threshold, '--simulate', '--seconds', '0'], /^--seconds: 0 must be above 0$/],
      [
        ['run', '-f', threshold, '--simulate', '--history', 'week'],
        /^--history week: with --simulate it must be a duration such as 7d, 12h or 30m$/,
      ],
      [
        ['run', '-f', threshold, '--simulate', '--history', '1d', '--history', '2d'],
        /^--history: give one duration with --simulate$/,
      ],
      [['run', '-f', threshold, '--history', 'nowhere.jsonl'], /nowhere\.jsonl/],
      [['run', '-f', threshold, '--seconds', '5'], /^--seconds goes with --simulate$/],
      [['run', '-f', threshold, '--port', '70000'], /^--port: 70000 must be a port, 0 to 65535$/],
      [
        ['backtest', '-f', threshold, '--input', input, '--label', 'value'],
        /^--label value: the pipeline reads this field as the event's value$/,
      ],
      [
        ['backtest', '-f', threshold, '--input', input, '--label', 'fraud'],
        /^--label fraud: no row of .*one\.jsonl has a field fraud of 0 or 1$/,
      ],
      [
        ['backtest', '-f', threshold, '--input', input, '--label', 'labels..fraud'],
        /^--label labels\.\.fraud: must be the name of a field, dotted where nested$/,
      ],
      [
        ['backtest', '-f', threshold, '--input', input, '--label', 'labels.fraud'],
        /^--label labels\.fraud: no row of .*one\.jsonl has a field labels\.fraud of 0 or 1$/,
      ],
      [['backtest', '-f', threshold, '--input', input, '--output', input], /^--output .*one\.jsonl: is an input too$/],
      [['backtest', '-f', threshold, '--input', 'no/such.csv'], /^no\/such\.csv: no such file$/],
      [
        ['replay', '--input', input, '--to', 'localhost'],
        /^--to: localhost must be a URL such as http:\/\/localhost:8080, or -$/,
      ],
      [['replay', '--to', '-'], /^replay takes its events either from --input FILE or from --simulate$/],
      [
        ['replay', '--to', '-', '--simulate', '--input', input],
        /^replay takes its events either from --input FILE or from --simulate$/,
      ],
      [['replay', '--to', '-', '--input', input, '--events', '5'], /^--events goes with --simulate$/],
      [
        ['replay', '--to', '-', '--simulate', '--events', '5', '--seconds', '5'],
        /^--events and --seconds exclude one another$/,
      ],
      [['replay', '--to', '-', '--simulate', '--events', '1.5'], /^--events: 1\.5 must be a whole number above 0$/],
      [
        ['replay', '--simulate', '--brokers', 'a:1', '--topic', 't', '--kafka-username-file', input],
        /^Cannot connect to Kafka: --kafka-sasl-mechanism, --kafka-username-file and --kafka-password-file go together$/,
      ],
      [['run', '-f', 'no/such.yaml'], /^no\/such\.yaml: no such file$/],
      [['run', '-f', broken], /^.*broken\.yaml:\d+:\d+: .+$/],
      [['run', '-f', two], /^.*two\.yaml:\d+: a second document begins here; one is expected$/],
      [['run', '-f', wrongKind], /^.*kind\.yaml:2: kind: .*AnomalyPipeline/],
      [['run', '-f', typo], /^.*typo\.yaml:\d+: spec\.detection\.rule: .*rules/],
    ]
    const all = await Promise.all(table.map(([args]) => anomaly(args)))
    for (const [i, [args, message]] of table.entries()) {
      const { code, stdout, stderr } = all[i]!
      expect(stderr, args.join(' ')).to.match(/^anomaly: [^\n]+\n$/)
      expect(stderr.slice('anomaly: '.length, -1), args.join(' ')).to.match(message)
      expect([code, stdout], args.join(' ')).to.deep.equal([2, ''])
    }
    expect(readFileSync(input, 'utf8')).to.equal(`${seedEvent}\n`)
  })

  it('says which environment variable it does not know, and which it may have been meant for', async () => {
    const backtest = ['backtest', '-f', threshold, '--input', '/dev/null']
    const table: readonly (readonly [args: readonly string[], env: NodeJS.ProcessEnv, message: string])[] = [
      [['crd'], { ANOMALY_X: '1' }, 'Unknown environment variable: ANOMALY_X; see "anomaly crd --help"'],
      [
        backtest,
        { ANOMALY_REJETCS: 'x' },
        'Unknown environment variable: ANOMALY_REJETCS (did you mean ANOMALY_REJECTS?); see "anomaly backtest --help"',
      ],
      [
        ['run', '-f', threshold],
        { ANOMALY_LOG_LEVL: 'debug', ANOMALY_SEED: '2' },
        'Unknown environment variable: ANOMALY_LOG_LEVL (did you mean ANOMALY_LOG_LEVEL?); see "anomaly run --help"',
      ],
      [[...backtest, '--colour'], { ANOMALY_SEED: '2' }, 'Unknown argument: colour; see "anomaly backtest --help"'],
    ]
    const all = await Promise.all(table.map(([args, env]) => anomaly(args, { env })))
    for (const [i, [, , message]] of table.entries())
      expect(all[i]).to.deep.equal({ code: 2, stdout: '', stderr: `anomaly: ${message}\n` })
  })

  it('crd prints what is in crds/, whatever Services Kubernetes describes in the environment', async () => {
    const env = {
      ANOMALY_SERVICE_HOST: '10.0.0.1',
      ANOMALY_SERVICE_PORT: '8080',
      ANOMALY_PORT: 'tcp://10.0.0.1:8080',
      ANOMALY_PORT_8080_TCP_ADDR: '10.0.0.1',
      ANOMALY_REDIS_SERVICE_PORT_REDIS: '6379',
      ANOMALY_REDIS_PORT: 'tcp://10.0.0.2:6379',
    }
    const { code, stdout } = await anomaly(['crd'], { env })
    expect(code).to.equal(0)
    expect(stdout).to.equal(readFileSync(new URL('../crds/anomaly.com_anomalypipelines.yaml', import.meta.url), 'utf8'))
  })

  describe('backtest', () => {
    const input = folder.write('payments.jsonl', paymentLines(3000))

    it('writes the same verdicts to the byte each time, others with another seed', async () => {
      const [first, second, other, fromInput] = await Promise.all([
        anomaly(['backtest', '-f', payments, '--input', input, '--output', '-']),
        anomaly(['backtest', '-f', payments, '--input', input, '--output', '-', '--seed', '1']),
        anomaly(['backtest', '-f', payments, '--input', input, '--output', '-'], { env: { ANOMALY_SEED: '2' } }),
        anomaly(['backtest', '-f', payments, '--input', '-', '--output', '-'], { stdin: readFileSync(input, 'utf8') }),
      ])
      expect(first!.code).to.equal(0)
      expect(verdictsOf(first!.stdout).map(({ eventId }) => eventId)).to.deep.equal(
        Array.from({ length: 3000 }, (_, i) => `payment-${i + 1}`),
      )
      expect(first!.stdout).to.not.include('inferenceTimeMs')
      expect(second!.stdout === first!.stdout, 'same seed').to.equal(true)
      expect(fromInput!.stdout === first!.stdout, 'standard input').to.equal(true)
      expect(other!.stdout === first!.stdout, 'other seed').to.equal(false)
      expect(first!.stderr).to.match(
        /^\d+ episodes, [\d.]+ a day(, \d+ open)?\n3,000 events in \d+\.\d s \([\d,]+\/s\), \d+ alerts?, 0 rejected\nalerts per million: [\d,]+, 2,000 requested\n$/,
      )
    })

    it('measures against labels and writes a report that needs nothing else', async () => {
      const chance = (i: number) => Math.sin(i * 12.9898) * 0.5
      const rows = Array.from({ length: 2000 }, (_, i) => {
        const odd = i % 100 === 99
        return `${chance(i) + (odd ? 9 : 0)},${chance(i + 7) - (odd ? 9 : 0)},${odd ? 1 : 0}`
      })
      const path = folder.write('table.csv.gz', gzipSync(`x0,x1,xLabel\n${rows.join('\n')}\n`))
      const report = join(folder.path, 'report.html')
      const output = join(folder.path, 'table.jsonl')
      const { code, stderr, stdout } = await anomaly([
        ...['backtest', '-f', manifest('tabular'), '--input', path, '--label', 'xLabel'],
        ...['--report', report, '--output', output],
      ])
      expect([code, stdout]).to.deep.equal([0, ''])
      const measured =
        /^ROC AUC ([\d.]+), average precision ([\d.]+), event by event precision ([\d.]+|undefined) and recall [\d.]+ at the budget$/m.exec(
          stderr,
        )
      expect(Number(measured?.[1])).to.be.within(0.9, 1)
      expect(stderr).to.match(/^\d+ of 20 episodes found, \d+ missed; \d+ false$/m)
      const verdicts = verdictsOf(readFileSync(output, 'utf8'))
      expect(verdicts.map(({ eventId }) => eventId)).to.deep.equal(rows.map((_, i) => `row-${i + 1}`))
      for (const { reasons } of verdicts) for (const { feature } of reasons) expect(feature).to.not.equal('xLabel')
      const page = readFileSync(report, 'utf8')
      expect(page).to.match(/^<!doctype html>/i)
      expect(page).to.include('table.csv.gz')
      expect(page).to.not.match(/<(script|link|img|iframe)[^>]+(src|href)=|@import|url\((?!['"]?(data:|#))/i)
    })

    it('takes several files and globs, formats by name or flag, and sets the unreadable apart', async () => {
      const header = 'timestamp,value\n'
      folder.write('series/a.csv', `\ufeff${header}2024-01-01 00:00:00,1\r\n2024-01-01 00:05:00,2\r\n`)
      folder.write('series/b.csv', `${header}2024-01-01 00:00:00,5\n2024-01-01 00:05:00\n2024-01-01 00:10:00,"7"\n`)
      const c = folder.write('c.txt', `${header}2024-01-01 00:00:00,9\n"2024-01-01 00:05:00,10\n`)
      const rejects = join(folder.path, 'rejects.jsonl')
      const { code, stdout, stderr } = await anomaly([
        ...['backtest', '-f', manifest('timeseries'), '--input', join(folder.path, 'series/*.csv'), '--input', c],
        ...['--format', 'csv', '--rejects', rejects, '--output', '-'],
      ])
      expect(code).to.equal(0)
      expect(verdictsOf(stdout).map(({ eventId, userId }) => [eventId, userId])).to.deep.equal([
        ['series/a.csv:row-1', 'series/a.csv'],
        ['series/b.csv:row-1', 'series/b.csv'],
        ['c.txt:row-1', 'c.txt'],
        ['series/a.csv:row-2', 'series/a.csv'],
        ['series/b.csv:row-3', 'series/b.csv'],
      ])
      expect(linesOf(readFileSync(rejects, 'utf8')).map((line) => JSON.parse(line))).to.deep.equal([
        {
          source: 'series/b.csv',
          line: 3,
          row: 2,
          reason: 'RaggedRow',
          message: 'the row has 1 fields, the header 2',
          event: '2024-01-01 00:05:00',
        },
        {
          source: 'c.txt',
          line: 3,
          row: 2,
          reason: 'RaggedRow',
          message: 'the row cannot be read: a quote is never closed',
          event: '"2024-01-01 00:05:00,10',
        },
      ])
      expect(stderr).to.include('5 events in ').and.include('2 rejected')
    })

    it('leaves no report behind where it fails, and the report of an earlier run as it was', async () => {
      const place = folder.write('reports/old.html', 'of an earlier run')
      const failing = ['backtest', '-f', payments, '--input', input, '--label', 'nowhere', '--report']
      const all = await Promise.all([
        anomaly([...failing, join(folder.path, 'reports/new.html')]),
        anomaly([...failing, place]),
      ])
      expect(all.map(({ code }) => code)).to.deep.equal([2, 2])
      expect(readdirSync(join(folder.path, 'reports'))).to.deep.equal(['old.html'])
      expect(readFileSync(place, 'utf8')).to.equal('of an earlier run')
    })

    it('ends with 1 and a word where its output is full', async function () {
      if (!existsSync('/dev/full')) return this.skip()
      const all = await Promise.all([
        anomaly(['backtest', '-f', payments, '--input', input, '--output', '/dev/full']),
        anomaly([
          'run',
          '-f',
          payments,
          '--input',
          input,
          '--output',
          '/dev/full',
          '--port',
          '0',
          '--probes-port',
          '0',
          '--log-level',
          'warn',
        ]),
      ])
      for (const { code, stderr } of all) {
        expect(code).to.equal(1)
        expect(stderr).to.equal(
          'anomaly: /dev/full: cannot be written: no space left; it has the first 0 lines whole\n',
        )
      }
      const report = await anomaly(['backtest', '-f', payments, '--input', input, '--report', 'no/folder/report.html'])
      expect([report.code, report.stderr]).to.deep.equal([
        1,
        'anomaly: no/folder/report.html: cannot be written: there is no such folder\n',
      ])
    })

    it('ends with 1 and without a stack trace where the reader of a pipe had enough', async () => {
      const verdicts = start(['backtest', '-f', payments, '--input', input, '--output', '-'])
      const alerts = start([
        'run',
        '-f',
        threshold,
        '--input',
        '-',
        '--port',
        '0',
        '--probes-port',
        '0',
        '--log-level',
        'silent',
      ])
      verdicts.child.stdout!.destroy()
      alerts.child.stdin!.write(`${seedEvent}\n`)
      await alerts.saw('stdout', /user-456/)
      alerts.child.stdout!.destroy()
      alerts.child.stdin!.write(`${seedEvent}\n`.repeat(100))
      const [first, second] = await Promise.all([verdicts.ended, alerts.ended])
      expect([first.code, second.code]).to.deep.equal([1, 1])
      expect(first.stderr).to.match(
        /^anomaly: standard output: cannot be written: the reader has closed it; it has the first \d+ lines whole\n$/,
      )
      expect(second.stderr).to.equal('')
    })

    it('finishes the batch at SIGTERM, says so, and ends with 0', async () => {
      const { child, ended, saw } = start(['backtest', '-f', payments, '--input', '-', '--output', '-'])
      child.stdin!.write(readFileSync(input))
      await saw('stdout', /\n/)
      child.kill('SIGTERM')
      const { code, stdout, stderr } = await ended
      expect(code).to.equal(0)
      expect(stdout.endsWith('\n')).to.equal(true)
      const verdicts = verdictsOf(stdout)
      expect(verdicts.length).to.be.within(1, 3000)
      expect(stderr).to.include(`${new Intl.NumberFormat('en').format(verdicts.length)} events in `)
      expect(stderr).to.include('stopped before the end of the input; what is written is whole\n')
    })

    it('ends with 0 at SIGTERM also where no label has come yet', async () => {
      const { child, ended, saw } = start([
        ...['backtest', '-f', payments, '--input', '-', '--output', '-', '--label', 'fraud'],
      ])
      child.stdin!.write(readFileSync(input))
      await saw('stdout', /\n/)
      child.kill('SIGTERM')
      const { code, stderr } = await ended
      expect(code).to.equal(0)
      expect(stderr).to.include('stopped before the end of the input').and.not.include('ROC AUC')
    })

    it('ends with 3 and a line where no event has the fields that the pipeline names', async () => {
      const csv = folder.write('other.csv', 'timestamp,valeu\n2024-01-01,3\n')
      const said =
        'anomaly: nothing could be judged: looked for time: timestamp, value: value (did you mean valeu?); the events have timestamp, valeu; 1 events without a number\n'
      const all = await Promise.all([
        anomaly(['backtest', '-f', manifest('timeseries'), '--input', csv]),
        anomaly(['run', '-f', manifest('timeseries'), '--input', csv, '--exit-at-end', '--log-level', 'silent']),
      ])
      for (const { code, stderr } of all) {
        expect(code).to.equal(3)
        expect(stderr.endsWith(said), stderr).to.equal(true)
      }
    })
  })

  describe('run', () => {
    async function serve(
      args: readonly string[],
    ): Promise<Running & { readonly api: string; readonly probes: string }> {
      const one = start(['run', ...args, '--port', '0', '--probes-port', '0'])
      const [, api, probes] = await one.saw(
        'stderr',
        /"api":"(http:\/\/localhost:\d+)\/api\/v1\/detect","probes":(\d+)/,
      )
      return { ...one, api: api!, probes: `http://localhost:${probes}` }
    }
    const detect = (api: string, body: string) =>
      fetch(`${api}/api/v1/detect`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })

    it("answers the seed's own request, and the same again when it is repeated", async () => {
      const { api, probes, child, ended } = await serve(['-f', threshold])
      const first = await detect(api, seedEvent)
      expect(first.status).to.equal(200)
      const text = await first.text()
      expect(JSON.parse(text)).to.deep.include({ eventId: 'test-123', isAnomaly: true })
      const second = await detect(api, seedEvent)
      expect(second.headers.get('Idempotent-Replayed')).to.equal('true')
      expect(await second.text()).to.equal(text)
      expect(await (await fetch(`${api}/api/v1/results/test-123`)).text()).to.equal(text)
      expect((await fetch(`${probes}/readyz`)).status).to.equal(200)
      child.kill('SIGINT')
      const { code, stdout, stderr } = await ended
      expect(code).to.equal(0)
      expect(linesOf(stdout)).to.have.length(1)
      expect(stdout).to.include('user-456').and.include('125.5')
      expect(stderr).to.match(/\n1 event in \d+\.\d s \(\d+\/s\), 1 alert, 0 rejected\n$/)
    })

    it('writes a verdict for each line as it comes, and at SIGTERM those of all that came', async () => {
      const { child, saw, ended } = await serve(['-f', threshold, '--input', '-', '--output', '-'])
      child.stdin!.write(`${seedEvent}\n`)
      await saw('stdout', /\n/)
      child.stdin!.write(`${seedEvent.replace('125.5', '1')}\n{"half of an ev`)
      await saw('stdout', /\n.*\n/)
      child.kill('SIGTERM')
      const { code, stdout, stderr } = await ended
      expect(code).to.equal(0)
      expect(verdictsOf(stdout).map(({ isAnomaly }) => isAnomaly)).to.deep.equal([true, false])
      expect(stderr).to.include('2 events in ').and.include('1 alert, 0 rejected')
    })

    it('exits at once at a second signal', async () => {
      const { api, child, saw, ended } = await serve(['-f', threshold])
      // A request that never comes to its end holds up the first.
      const socket = connect(Number(new URL(api).port), 'localhost')
      socket.on('error', () => {})
      socket.write(
        'POST /api/v1/detect HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n',
      )
      await once(socket, 'data')
      child.kill('SIGTERM')
      await saw('stderr', /stopping; a second signal exits at once/)
      child.kill('SIGTERM')
      expect((await ended).code).to.equal(143)
      socket.destroy()
    })

    it('ends with its input where that is wanted, and serves nothing then', async () => {
      const { code, stdout, stderr } = await anomaly(['run', '-f', threshold, '--input', '-', '--exit-at-end'], {
        stdin: `${seedEvent}\n{\n${seedEvent}\n`,
      })
      expect(code).to.equal(0)
      expect(linesOf(stdout)).to.have.length(2)
      expect(stderr).to.match(/^rejected: 1 MalformedJson\n1 episode, 1 open\n2 events in .*, 2 alerts, 1 rejected\n$/)
    })

    it('learns the events of a file first, and judges only what comes after', async () => {
      const past = folder.write('past.jsonl', `${seedEvent}\n${seedEvent}\n`)
      const args = ['run', '-f', threshold, '--history', past, '--input', '-', '--exit-at-end']
      const { code, stdout, stderr } = await anomaly(args, { stdin: `${seedEvent}\n` })
      expect(code).to.equal(0)
      expect(linesOf(stdout)).to.have.length(1)
      expect(stderr).to.match(
        /^learnt the events of .*past\.jsonl in [\d.]+ s: 2 events; live from here\n1 episode, 1 open\n1 event in .*, 1 alert, 0 rejected\n$/,
      )
    })

    it('simulates payments, finds what is injected, and ends by itself', async () => {
      const args = [
        'run',
        '-f',
        payments,
        '--simulate',
        '--history',
        '2d',
        '--seconds',
        '6',
        '--rate',
        '500',
        '--port',
        '0',
        '--probes-port',
        '0',
      ]
      const { code, stdout, stderr } = await anomaly(args)
      expect(code).to.equal(0)
      const summary =
        /^([\d,]+) events in \d+\.\d s .*, (\d+) alerts?, 0 rejected\n\nINJECTED +EPISODES +FOUND +MISSED +ALERTS\n/m.exec(
          stderr,
        )
      expect(Number(summary?.[1]?.replace(',', ''))).to.be.within(2700, 3300)
      // Where no line can be overwritten, the status is a line of its own now and then.
      expect(stderr).to.match(/^\d+ events\/s · \d+ alerts? · 500 keys · model forest-\S+ · precision .+ · recall .+$/m)
      expect(linesOf(stdout)).to.have.length(Number(summary?.[2]))
      expect(stderr).to.match(/^learnt the past 2 days in [\d.]+ s: [\d,]+ events; live from here$/m)
    })
  })

  describe('watch', () => {
    const serve = async (port: string) => {
      const one = start(['run', '-f', threshold, '--port', port, '--probes-port', '0'])
      const [, api] = await one.saw('stderr', /"api":"(http:[^"]*)\/api/)
      return { one, url: api! }
    }
    const detect = (url: string, eventId: string, value: number) =>
      fetch(`${url}/api/v1/detect`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ eventId, userId: `user of ${eventId}`, value }),
      })

    it('prints what an API tells of, also after the API was away', async () => {
      const first = await serve('0')
      const every = start(['watch', '--url', first.url])
      const alerts = start(['watch', '--url', first.url, '--alerts'])
      for (const { saw } of [every, alerts]) await saw('stderr', /watching http.*; Ctrl-C ends it\n/)
      expect((await detect(first.url, 'a', 5)).status).to.equal(200)
      expect((await detect(first.url, 'b', 500)).status).to.equal(200)
      await every.saw('stdout', /^ {2}\S.* user of a.*\n! .* user of b .*\n/)
      await alerts.saw('stdout', /user of b/)
      first.one.child.kill('SIGTERM')
      expect((await first.one.ended).code).to.equal(0)
      await every.saw('stderr', /the process stops; trying again; verdicts of meanwhile are not shown\n/)
      const second = await serve(new URL(first.url).port)
      for (const { saw } of [every, alerts]) await saw('stderr', /watching http\S* again\n/)
      await detect(second.url, 'c', 500)
      for (const { saw, child } of [every, alerts]) {
        await saw('stdout', /user of c/)
        child.kill('SIGINT')
      }
      expect(await every.ended).to.include({ code: 0 })
      const { code, stdout, stderr } = await alerts.ended
      expect([code, stdout]).to.deep.equal([0, stdout.replaceAll(/.*user of a.*\n/g, '')])
      expect(stderr).to.match(/\n2 verdicts, 2 alerts\n$/)
    })

    it('says what it was refused for', async () => {
      const { url } = await serve('0')
      const refusals = await Promise.all([
        anomaly(['watch']),
        anomaly(['watch', '-f', threshold, '--url', url]),
        anomaly(['watch', '--url', url, '--from-beginning']),
        anomaly(['watch', '--url', 'localhost:8080']),
        anomaly(['watch', '--url', `${url}/`, '--token-file', folder.write('two lines', 'a\nb')]),
      ])
      for (const { code, stderr } of refusals) expect(code, stderr).to.equal(2)
      expect(refusals[0]!.stderr).to.equal('anomaly: name the pipeline with -f, or its API with --url\n')
      expect(refusals[3]!.stderr).to.include('--url: localhost:8080 must be a URL such as http://localhost:8080')
    })
  })

  describe('tune', () => {
    const document = (detection: string) =>
      `# Ours\napiVersion: anomaly.com/v1alpha1\nkind: AnomalyPipeline\nmetadata: {name: sensors}\nspec:\n  source: {brokers: ['localhost:9092']}\n  event: {key: $source}\n${detection}`
    /** Values of two sensors, a point in five minutes. */
    function sensorFiles(): string[] {
      return ['a', 'b'].map((name, n) => {
        const values = normalSeries('season', 1500, 40 + n)
        const rows = values.map((value, i) => `${new Date(1.7e12 + 300_000 * i).toISOString()},${value.toFixed(2)},4`)
        return folder.write(`tune-${name}.csv`, `timestamp,value,still\n${rows.join('\n')}\n`)
      })
    }

    it('proposes the detector that finds more, in a document that is valid, twice the same', async () => {
      const profile = '  detection: {detectors: [{name: profile, profile: {}}]}\n'
      const pipeline = folder.write('tune.yaml', document(profile))
      const inputs = sensorFiles().flatMap((path) => ['--input', path])
      const [output, report] = [join(folder.path, 'tuned.yaml'), join(folder.path, 'tune.html')]
      const tuned = await anomaly(['tune', '-f', pipeline, ...inputs, '--output', output, '--report', report])
      expect(tuned, tuned.stderr).to.include({ code: 0, stdout: '' })
      expect(tuned.stderr).to.match(/→ discord +\d+ of \d+/)
      expect(tuned.stderr).to.include('spec.detection.detectors: [{"name":"discord","discord":{}}]')
      const proposed = readFileSync(output, 'utf8')
      expect(proposed).to.match(/^# Ours\n/)
      expect((await loadPipeline(output)).spec.detection.detectors).to.deep.equal([{ name: 'discord', discord: {} }])
      expect(readFileSync(report, 'utf8')).to.include('Anomaly tune')

      const again = await anomaly(['tune', '-f', pipeline, ...inputs])
      expect(again.stdout).to.equal(proposed)
      const kept = await anomaly(['tune', '-f', output, ...inputs, '--events', '900', '--alerts-per-day', '1'])
      expect(kept.stdout).to.match(/^ {2}event: \{key: \$source\}\n(.*\n)*.*alertBudget:\s+\{? ?perMillion: 1700\b/m)
    })

    it('ends as other commands where it cannot be told', async () => {
      const pipeline = folder.write('tune.yaml', document(''))
      const [csv = ''] = sensorFiles()
      for (const [args, code, said] of [
        [
          ['-f', pipeline, '--input', csv, '--label', 'still'],
          2,
          '--label still: no event of the sample has a 1 there',
        ],
        [['-f', pipeline, '--input', csv, '--events', '0'], 2, '--events: must be above 0'],
        [['-f', pipeline, '--input', csv, '--output', csv], 2, 'is an input too'],
        [['-f', pipeline, '--input', folder.write('tune-none.csv', 'a,b\n1,2\n')], 3, 'nothing could be judged'],
        [
          ['-f', folder.write('tune-bad.yaml', document('  detection: {detectors: []}')), '--input', csv],
          2,
          'detectors',
        ],
      ] as const) {
        const ended = await anomaly(['tune', ...args])
        expect(ended.stderr).to.include(said)
        expect([ended.code, ended.stdout]).to.deep.equal([code, ''])
      }
    })
  })

  describe('feedback', () => {
    it('tells a pipeline what its events were, by id or by verdict', async () => {
      const text = readFileSync(threshold, 'utf8').replace(
        'detection:',
        'detection:\n    feedback: {authentication: None}',
      )
      const pipeline = folder.write('feedback.yaml', text)
      const one = start(['run', '-f', pipeline, '--port', '0', '--probes-port', '0'])
      const [, url] = await one.saw('stderr', /"api":"(http:[^"]*)\/api/)
      const verdictOf = async (eventId: string): Promise<Verdict> => {
        const body = JSON.stringify({ eventId, userId: 'u', value: 5 })
        const headers = { 'Content-Type': 'application/json' }
        return (await fetch(`${url}/api/v1/detect`, { method: 'POST', headers, body })).json() as Promise<Verdict>
      }
      const confirmedOf = ({ reasons }: Verdict) => reasons.map(({ detector, feature }) => `${detector} ${feature}`)
      const before = await verdictOf('a')
      const said = await anomaly(['feedback', 'a', '--label', 'Confirmed', '--url', url!])
      expect(said).to.include({ code: 0, stderr: '1 event: Confirmed\n' })
      expect(confirmedOf(before)).to.deep.equal([])
      expect(confirmedOf(await verdictOf('b'))).to.deep.equal(['feedback userId'])
      const old = folder.write(
        'old.jsonl',
        `${JSON.stringify(before)}\n${JSON.stringify({ ...before, eventId: 'old' })}\n`,
      )
      const taken = await anomaly(['feedback', '--input', old, '--label', 'Withdrawn', '--url', url!])
      expect(taken).to.include({ code: 0, stderr: '2 events: Withdrawn\n' })
      expect(confirmedOf(await verdictOf('c'))).to.deep.equal([])
      const [table, json, none] = await Promise.all([
        anomaly(['feedback', 'list', '--url', url!]),
        anomaly(['feedback', 'list', '--json', '--label', 'Withdrawn', '--key', 'u', '--url', url!]),
        anomaly(['feedback', 'list', '--key', 'nobody', '--url', url!]),
      ])
      expect(table.stdout).to.match(
        /^SAID \(UTC\) +BY +WHAT +EVENT +KEY +PATTERN\n\S+ \S+ +– +Confirmed, withdrawn .* a +u\b/,
      )
      expect(linesOf(json.stdout).map((line) => JSON.parse(line).eventId)).to.deep.equal(['a'])
      expect(none).to.include({ code: 0, stdout: 'Nothing was said\n' })
      const refusals = await Promise.all([
        anomaly(['feedback', '--label', 'Confirmed', '--url', url!]),
        anomaly(['feedback', 'a', 'nobody', '--label', 'Confirmed', '--url', url!]),
        anomaly(['feedback', '--input', `${old}.not`, '--label', 'Confirmed', '--url', url!]),
        anomaly(['feedback', 'a', '--label', 'Confirmed', '--url', 'localhost:8080']),
      ])
      for (const { code, stderr } of refusals) {
        expect(code, stderr).to.not.equal(0)
        expect(stderr.trim().split('\n'), stderr).to.have.length(1)
      }
      expect(refusals[1]!.stderr).to.match(/^anomaly: nobody: There is no verdict .*; 1 before it are stored\n$/)
    })
  })

  describe('replay', () => {
    it('sends the rows of files to the REST API, and counts what came of them', async () => {
      const one = start(['run', '-f', threshold, '--port', '0', '--probes-port', '0'])
      const [, api] = await one.saw('stderr', /"api":"(http:\/\/localhost:\d+)\//)
      const csv = folder.write('replay.csv', 'eventId,userId,value\na,007,1\nb,7,101\nc,7\nd,7,high\ne,,5\n')
      const { code, stderr } = await anomaly(['replay', '--input', csv, '--to', api!])
      expect(code).to.equal(0)
      expect(stderr).to.match(
        /^rejected: 1 RaggedRow, 1 InvalidValue, 1 MissingKey\n2 events in .*, 1 alert, 3 rejected\n$/,
      )
      const verdict = (await (await fetch(`${api}/api/v1/results/a`)).json()) as Verdict
      expect(verdict).to.deep.include({ eventId: 'a', userId: '007', isAnomaly: false })
    })

    it('writes the rows as JSONL, numbers as numbers and names as they are', async () => {
      const csv = folder.write('names.csv', 'id,a,b,c,d\n0012,1.5,-2e3,,x\n12345678901234567890,0,.5,"a,b",0x10\n')
      const { code, stdout } = await anomaly(['replay', '--input', csv, '--to', '-'])
      expect(code).to.equal(0)
      expect(linesOf(stdout).map((line) => JSON.parse(line))).to.deep.equal([
        { id: '0012', a: 1.5, b: -2000, d: 'x' },
        { id: '12345678901234567890', a: 0, b: 0.5, c: 'a,b', d: '0x10' },
      ])
    })

    it('sends simulated payments of the present, and says exactly how many', async () => {
      const before = Date.now()
      const send = () => anomaly(['replay', '--simulate', '--events', '1234', '--rate', '5000', '--to', '-'])
      const all = await Promise.all([send(), send()])
      const ids = all.map(({ code, stdout, stderr }) => {
        expect(code).to.equal(0)
        const [, count, prefix] = /^sent (\d+) events, their ids begin with (payment-[0-9a-f]{12}-)$/.exec(
          linesOf(stderr).at(-1)!,
        )!
        const events = linesOf(stdout).map((line) => JSON.parse(line) as { eventId: string; timestamp: number })
        expect([Number(count), events.length]).to.deep.equal([1234, 1234])
        for (const { eventId, timestamp } of events) {
          expect(eventId).to.match(new RegExp(`^${prefix}\\d+$`))
          expect(timestamp).to.be.within(before, Date.now() + 50)
        }
        return events.map(({ eventId }) => eventId)
      })
      expect(new Set(ids.flat()).size).to.equal(2 * 1234)
    })

    it('ends the simulation when it is told to, and still says how many it sent', async () => {
      const one = start(['replay', '--simulate', '--rate', '1000', '--to', '-'])
      await one.saw('stdout', /"payment-[0-9a-f]+-500"/)
      one.child.kill('SIGTERM')
      const { code, stdout, stderr } = await one.ended
      expect([code, linesOf(stderr).at(-1)]).to.deep.equal([
        0,
        `sent ${linesOf(stdout).length} events, their ids begin with ${/payment-[0-9a-f]+-/.exec(stdout)![0]}`,
      ])
    })

    it('tries again while the API is unavailable, and gives up when it is told to', async () => {
      const input = folder.write('retry.jsonl', `${seedEvent}\n`)
      let requests = 0
      let child: ChildProcess | undefined
      const server = createServer((request, response) => {
        request.resume()
        if (++requests === 2) child!.kill('SIGTERM')
        response.writeHead(503).end('{"detail":"later"}')
      }).listen(0)
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const one = start(['replay', '--input', input, '--to', `http://localhost:${port}`])
      child = one.child
      const { code, stderr } = await one.ended
      server.close()
      expect(requests).to.be.within(2, 3)
      const unavailable = `anomaly: http://localhost:${port}/api/v1/detect/batch: answered 503: later`
      expect([code, stderr]).to.deep.equal([1, `${unavailable}; trying again\n${unavailable}\n`])
    })

    it('says what answered in place of an API', async () => {
      const server = createServer((request, response) => {
        request.resume()
        response.end('<html>It works!</html>')
      }).listen(0)
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const input = folder.write('html.jsonl', `${seedEvent}\n`)
      const { code, stderr } = await anomaly(['replay', '--input', input, '--to', `http://localhost:${port}`])
      server.close()
      expect(code).to.equal(2)
      expect(stderr).to.match(/^anomaly: http:.*: answered what is no verdict: <html>It works!<\/html>\n$/)
    })
  })
})
