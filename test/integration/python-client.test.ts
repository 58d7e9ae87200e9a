import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { Registry } from 'prom-client'
import type { HttpPart } from '../../lib/http-part.ts'
import { createLogger } from '../../lib/log.ts'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { pythonClient, pythonClientPath } from '../../tools/generate/python-client.ts'
import { requireCommands } from '../../tools/servers/server.ts'
import { temporaryFolder } from '../../workloads/files/temporary-folder.ts'
import type { History } from '../../workloads/history/history.ts'
import { openSqliteHistory } from '../../workloads/history/sqlite-history.ts'
import { createApp } from '../../workloads/rest/app.ts'
import { bearerAuth } from '../../workloads/rest/bearer-auth.ts'
import { createLiveEvents } from '../../workloads/rest/live-events.ts'
import { createApiServer } from '../../workloads/rest/server.ts'
import { createStubDoor } from '../../workloads/rest/stub-door.ts'

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)

describe('The client in Python', () => {
  const folder = temporaryFolder()
  let history: History
  let server: HttpPart
  before(async () => {
    await requireCommands({ python3: 'python3' })
    history = openSqliteHistory(`${folder.path}/history.db`)
    const { event, detection } = parsePipeline({
      apiVersion: 'anomaly.com/v1alpha1',
      kind: 'AnomalyPipeline',
      metadata: { name: 'test' },
      spec: { source: { brokers: ['localhost:9092'] } },
    }).spec
    const log = await createLogger({ level: 'silent' })
    const options = {
      log,
      registry: new Registry(),
      event,
      live: createLiveEvents(),
      history,
      detection: () => detection,
    }
    const authenticate = bearerAuth(() => ['secret'])
    server = createApiServer(createApp(createStubDoor(event), { ...options, authenticate }), { port: 0 })
    await server.start!(new AbortController().signal)
  })
  after(async () => {
    await server.stop?.()
    await history.close()
    folder.remove()
  })

  it('is what the description gives now (if not: npm run generate:docs)', () => {
    expect(readFileSync(join(root, pythonClientPath), 'utf8')).to.equal(pythonClient())
  })

  it('asks an API for verdicts, the past and problems', async () => {
    const script = `
from anomaly_client import Client, Problem
client = Client("http://localhost:${server.port}", token="secret")
event = {"eventId": "a/1", "timestamp": 1640000000, "userId": "user-456", "value": 125.5, "features": {"feature1": 10.5}}
print(client.detect(event)["isAnomaly"], [item["eventId"] for item in client.detect_batch([event])])
print(client.get_result("a/1")["eventId"], client.get_episodes(limit=5), client.get_health()["status"])
print(client.get_what_if(3000, 1640000000000, 1640000001000)["events"])
for ask in [lambda: client.get_episode("none"), lambda: Client(client.url).get_results(), lambda: client.detect({})]:
    try:
        ask()
    except Problem as problem:
        print(problem.problem["status"], problem.problem["reason"])
`
    const env = { ...process.env, PYTHONPATH: join(root, 'docs/python'), PYTHONDONTWRITEBYTECODE: '1' }
    const { stdout } = await run('python3', ['-c', script], { env })
    expect(stdout.split('\n')).to.deep.equal([
      "True ['a/1']",
      "a/1 {'episodes': [], 'next': None} UP",
      '0',
      '404 NotFound',
      '401 Unauthorized',
      '422 MissingKey',
      '',
    ])
  })
})
