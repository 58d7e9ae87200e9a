import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { parse, parseAllDocuments } from 'yaml'
import { ownBinary } from '../../tools/servers/binaries/binaries.ts'

const run = promisify(execFile)
const folder = join(import.meta.dirname, '../../manifests/argocd')
const settings = join(folder, 'argocd-cm.yaml')
const customization = join(folder, 'resource_customizations/anomaly.com/AnomalyPipeline')
const read = (path: string) => readFileSync(path, 'utf8')

interface HealthTest {
  readonly inputPath: string
  readonly healthStatus: { readonly status: string; readonly message: string }
}
interface DiscoveryTest {
  readonly inputPath: string
  readonly result: readonly { readonly name: string; readonly disabled: boolean }[]
}
interface ActionTest {
  readonly action: string
  readonly inputPath: string
  readonly expectedOutputPath: string
}
const { tests } = parse(read(join(customization, 'health_test.yaml'))) as { readonly tests: readonly HealthTest[] }
const actions = join(customization, 'actions')
const { discoveryTests, actionTests } = parse(read(join(actions, 'action_test.yaml'))) as {
  readonly discoveryTests: readonly DiscoveryTest[]
  readonly actionTests: readonly ActionTest[]
}

// The cases are in the form of Argo CD's own customizations; Argo CD runs them with the settings that a user gives it.
describe('AnomalyPipeline in Argo CD', () => {
  const temporary = mkdtempSync(join(tmpdir(), 'anomaly-argocd-'))
  const program = join(temporary, 'argocd')
  const nowhere = join(temporary, 'kubeconfig')

  before('build Argo CD', async function () {
    if (process.env.SKIP_INTEGRATION === '1') this.skip()
    this.timeout(0)
    // It is one program for all its parts, which goes by the name that it is started by.
    symlinkSync(await ownBinary('argocd'), program)
    // It wants to know a cluster even where it asks none.
    const cluster = { name: 'none', cluster: { server: 'http://localhost:1' } }
    const context = { name: 'none', context: { cluster: 'none' } }
    writeFileSync(
      nowhere,
      JSON.stringify({ kind: 'Config', clusters: [cluster], contexts: [context], 'current-context': 'none' }),
    )
  })
  after(() => rmSync(temporary, { recursive: true }))

  async function argocd(...args: string[]): Promise<string> {
    // In the place of a difference, the whole result.
    const env = {
      ...process.env,
      KUBECTL_EXTERNAL_DIFF: `sh -c 'cat "$2"' result`,
      KUBECONFIG: nowhere,
      HOME: temporary,
    }
    return (await run(program, ['admin', 'settings', ...args], { env })).stdout
  }
  const overrides = (verb: string, ...args: string[]) =>
    argocd('resource-overrides', verb, ...args, '--argocd-cm-path', settings)

  for (const { inputPath, healthStatus } of tests)
    it(`is ${healthStatus.status}: ${healthStatus.message} (${inputPath})`, async () => {
      const told = await overrides('health', join(customization, inputPath))
      expect(told).to.equal(`STATUS: ${healthStatus.status}\nMESSAGE: ${healthStatus.message}\n`)
    })

  it('has a test of its health for each case that there is', () => {
    const cases = readdirSync(join(customization, 'testdata')).map((name) => `testdata/${name}`)
    expect(tests.map(({ inputPath }) => inputPath)).to.have.members(cases)
  })

  for (const { inputPath, result } of discoveryTests)
    it(`offers what makes sense: ${inputPath}`, async () => {
      const [, ...lines] = (await overrides('list-actions', join(actions, inputPath))).trim().split('\n')
      const offered = lines.map((line) => {
        const [name, disabled] = line.split(/\s+/)
        return { name, disabled: disabled === 'true' }
      })
      expect(offered).to.deep.equal(result)
    })

  for (const { action, inputPath, expectedOutputPath } of actionTests)
    it(`does what is asked for and nothing else: ${action}`, async () => {
      const began = Date.now()
      const told = await overrides('run-action', join(actions, inputPath), action)
      const [, document] = told.split('Following fields have been changed:\n\n')
      const object = parse(document!)
      if (action === 'restart') {
        const { annotations } = object.metadata
        expect(Date.parse(annotations['anomaly.com/restart-at'])).to.be.within(began - 1000, Date.now())
        annotations['anomaly.com/restart-at'] = '0001-01-01T00:00:00Z'
      }
      expect(object).to.deep.equal(parse(read(join(actions, expectedOutputPath))))
    })

  it('lets those on call look, pause, resume and restart, and no more', async () => {
    const [, , , project] = parseAllDocuments(read(join(folder, 'appproject.yaml'))).map((one) => one.toJS())
    const [role] = project.spec.roles
    const policy = join(temporary, 'policy.csv')
    writeFileSync(policy, `${role.policies.join('\n')}\n`)
    const can = async (action: string, application: string) => {
      const flags = ['--policy-file', policy]
      const subject = `proj:${project.metadata.name}:${role.name}`
      return await argocd('rbac', 'can', subject, action, 'applications', application, ...flags).catch(
        (error: { stdout: string }) => error.stdout,
      )
    }
    const verdicts = Object.fromEntries(
      await Promise.all(
        [
          ['get', 'anomaly-pipelines/payments'],
          ['action/anomaly.com/AnomalyPipeline/pause', 'anomaly-pipelines/payments'],
          ['action/anomaly.com/AnomalyPipeline/restart', 'anomaly-pipelines/payments'],
          ['action/apps/Deployment/restart', 'anomaly-pipelines/payments'],
          ['action/anomaly.com/AnomalyPipeline/pause', 'anomaly-operator/anomaly-operator'],
          ['delete', 'anomaly-pipelines/payments'],
        ].map(async ([action, application]) => [`${action} ${application}`, (await can(action!, application!)).trim()]),
      ),
    )
    expect(verdicts).to.deep.equal({
      'get anomaly-pipelines/payments': 'Yes',
      'action/anomaly.com/AnomalyPipeline/pause anomaly-pipelines/payments': 'Yes',
      'action/anomaly.com/AnomalyPipeline/restart anomaly-pipelines/payments': 'Yes',
      'action/apps/Deployment/restart anomaly-pipelines/payments': 'No',
      'action/anomaly.com/AnomalyPipeline/pause anomaly-operator/anomaly-operator': 'No',
      'delete anomaly-pipelines/payments': 'No',
    })
  })
})
