import { ownBinary } from '../../../tools/servers/binaries/binaries.ts'

/** Sees that the enclosing `describe` has Helm and kubectl: the first run on a machine builds them, which takes minutes. */
export function useHelm(): void {
  before('build Helm and kubectl', async function () {
    if (process.env.SKIP_INTEGRATION === '1') this.skip()
    this.timeout(0)
    await ownBinary('helm')
    await ownBinary('kubectl')
  })
}
