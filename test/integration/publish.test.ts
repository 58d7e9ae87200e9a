import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { objectsOf } from '../../tools/release/chart.ts'
import { ownBinary } from '../../tools/servers/binaries/binaries.ts'
import {
  freePorts,
  removeFolder,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../../tools/servers/server.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')

interface Said {
  readonly stdout: string
  readonly stderr: string
}

describe('A release in a registry', () => {
  let folder: string
  let registry: string
  let server: ServerProcess
  let version: string
  let crane: (...args: string[]) => Promise<string>

  before('start a registry, and release to it', async function () {
    if (process.env.SKIP_INTEGRATION === '1') this.skip()
    this.timeout(0)
    folder = temporaryFolder('release')
    version = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
    const [program, [port]] = [await ownBinary('crane'), (await freePorts(1)) as [number]]
    registry = `127.0.0.1:${port}`
    crane = async (...args) => (await run(program, args)).stdout.trim()
    server = await startServer(program, ['registry', 'serve', '--address', registry], {
      log: join(folder, 'log'),
      ready: async () => (await fetch(`http://${registry}/v2/`)).ok,
    })
    await makeImage('first')
    await release()
  })
  after(async () => {
    await server?.kill()
    if (folder !== undefined) removeFolder(folder)
  })

  const tool = (name: string, ...args: string[]): Promise<Said> =>
    run(process.execPath, [join(root, 'tools/release', name), ...args], { cwd: root })
  const release = () => tool('package.ts', dist(), '--version', version, '--image', `${registry}/anomaly`)
  const publish = (more: Readonly<Record<string, string>> = {}): Promise<Said> => {
    const flags = { registry, version, folder: dist(), ...more }
    return tool('publish.ts', ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]))
  }
  const refusal = (more?: Readonly<Record<string, string>>): Promise<string> =>
    publish(more).then(
      ({ stdout }) => `published: ${stdout}`,
      ({ stderr }: Said) => stderr,
    )

  function dist(): string {
    const path = join(folder, 'dist')
    mkdirSync(path, { recursive: true })
    return path
  }
  /** A small one in the place of that of `make image-archive`. */
  async function makeImage(content: string): Promise<void> {
    writeFileSync(join(folder, 'content'), content)
    await run('tar', ['-cf', join(folder, 'layer.tar'), '-C', folder, 'content'])
    const tar = join(folder, 'image.tar')
    await crane('append', '--new_layer', join(folder, 'layer.tar'), '--new_tag', 'anomaly:x', '--output', tar)
    writeFileSync(join(dist(), `anomaly-${version}.tar.gz`), gzipSync(readFileSync(tar)))
  }

  it('has the image and a chart that runs it, each by its digest, also when it is published again', async () => {
    const { stdout } = await publish()
    const [image, chart] = stdout.trim().split('\n') as [string, string]
    expect(image).to.equal(`${registry}/anomaly@${await crane('digest', `${registry}/anomaly:${version}`)}`)
    expect(chart).to.match(/\/charts\/anomaly-operator@sha256:/)
    const template = [
      'template',
      'x',
      `oci://${registry}/charts/anomaly-operator`,
      '--version',
      version,
      '--plain-http',
    ]
    const objects = objectsOf((await run(await ownBinary('helm'), template, { maxBuffer: 64 << 20 })).stdout)
    const deployment = objects.find(({ kind }) => kind === 'Deployment')
    expect(JSON.stringify(deployment)).to.contain(`"image":"${registry}/anomaly:${version}"`)
    const manifest = readFileSync(join(dist(), `anomaly-operator-${version}.yaml`), 'utf8')
    expect(manifest).to.contain(`image: "${registry}/anomaly:${version}"`).and.not.contain('docker.io/library/anomaly')
    await release()
    expect((await publish()).stdout).to.equal(stdout)
  })

  it('keeps what was published under a version', async () => {
    await publish()
    const before = await crane('digest', `${registry}/anomaly:${version}`)
    await makeImage('another')
    expect(await refusal()).to.match(
      /^publish: .* is published already, with another content .*: release another version\n$/,
    )
    expect(await crane('digest', `${registry}/anomaly:${version}`)).to.equal(before)
  })

  it('is refused before anything is pushed where it cannot be signed', async () => {
    const flags = ['--registry', registry, '--version', version, '--folder', dist(), '--sign']
    const { stderr } = await run(process.execPath, [join(root, 'tools/release/publish.ts'), ...flags], {
      env: { ...process.env, PATH: '' },
    }).catch((error: Said) => error)
    expect(stderr).to.match(/^publish: signing needs Cosign 3 on the path/)
  })

  it('is refused where nothing was released, or for another registry', async () => {
    expect(await refusal({ registry: '' })).to.equal(
      'publish: name the registry: make publish REGISTRY=ghcr.io/OWNER\n',
    )
    expect(await refusal({ version: '9.9.9' })).to.match(
      /anomaly-9\.9\.9\.tar\.gz is not there: make release VERSION=9\.9\.9/,
    )
    expect(await refusal({ registry: 'ghcr.io/other' })).to.match(
      /names the image 127\..* not ghcr\.io\/other\/anomaly/,
    )
  })
})
