import { stringify } from 'yaml'
import { crd } from '../../lib/pipeline/crd.ts'

/** Path of the fixture from the root of the project. */
export const previousReleasePath = 'test/e2e/fixtures/previous-release/templates/operator.yaml'

/**
 * The previous release with the fields of this one: its operator has the image of this version, which works with no older
 * definition. The columns stay those of before, so that an upgrade has something to bring.
 */
export function withPresentFields(release: string): string {
  const [version] = crd().spec.versions
  const text = stringify({ schema: version!.schema }, { lineWidth: 0, aliasDuplicateObjects: false })
  const indented = text.replace(/^(?=.)/gm, ' '.repeat(6))
  return release.replace(/^ {6}schema:\n( {7,}.*\n|\n)*/m, () => `${indented}\n`)
}
