import { stringify } from 'yaml'
import { crd } from '../../lib/pipeline/crd.ts'
import { version } from '../../lib/version.ts'
import { rules } from '../../operator/rbac.ts'
import { dashboards } from './dashboards.ts'
import { withValuesTable } from './values-table.ts'

/**
 * The files of charts/anomaly-operator that are made of other sources, or in part, by their path in it. `read` gives what is
 * written there by hand.
 */
export function chartFiles(read: (path: string) => string): Readonly<Record<string, string>> {
  const { spec } = crd()
  return {
    'Chart.yaml': read('Chart.yaml').replace(/^(version|appVersion): .*$/gm, `$1: ${version}`),
    'README.md': withValuesTable(read('README.md'), read('values.yaml')),
    'files/crd-spec.yaml': generated('lib/pipeline/spec.ts and status.ts', { spec }),
    ...Object.fromEntries(
      Object.entries(rules).map(([role, list]) => [`files/rules/${role}.yaml`, generated('operator/rbac.ts', list)]),
    ),
    ...Object.fromEntries(
      Object.entries(dashboards).map(([name, dashboard]) => [
        `files/monitoring/${name}.json`,
        `${JSON.stringify(dashboard, null, 2)}\n`,
      ]),
    ),
  }
}

const generated = (source: string, value: unknown): string =>
  `# Generated from ${source} by \`npm run generate:chart\`.\n${stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })}`
