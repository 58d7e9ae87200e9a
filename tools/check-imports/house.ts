/** What a room may import beside itself. A file belongs to the longest of these paths that it lies under. */
export type House = Readonly<Record<string, readonly string[]>>

const lib = ['lib', 'lib/pipeline', 'lib/kafka']
/** Bytes and values, and the mathematics. */
const ground = [...lib, 'workloads/gen', 'workloads/detection', 'workloads/wire']
/** The ports to the world, each with its implementations. */
const ports = [...ground, 'workloads/streams', 'workloads/state', 'workloads/scoring']
const judging = [...ports, 'workloads/files', 'workloads/judging']
const doors = [...judging, 'workloads/settings', 'workloads/history', 'workloads/rest', 'workloads/notifications']
/** What a person at a terminal starts. */
const desk = [...judging, 'workloads/settings', 'workloads/simulation', 'workloads/terminal']
const operator = ['operator', 'operator/runtime', ...lib]
const everything = ['bin', 'operator', 'operator/runtime', 'bench', 'test', 'tools', ...doors, ...desk]

/** From the ground up. No role is in the list of another room: roles are composed of rooms and share them. */
export const house: House = {
  lib: [],
  'lib/pipeline': ['lib'],
  'lib/kafka': ['lib'],

  'operator/runtime': ['lib'],
  operator,

  'workloads/gen': [],
  'workloads/detection': ['lib/pipeline'],
  'workloads/wire': ground,
  'workloads/streams': ground,
  'workloads/state': ground,
  'workloads/scoring': ground,
  'workloads/files': [...ground, 'workloads/streams'],
  'workloads/settings': [...ports, 'workloads/files', 'workloads/history'],
  'workloads/judging': judging,
  'workloads/history': [...ground, 'workloads/streams', 'workloads/files'],
  'workloads/notifications': [...ports, 'workloads/settings', 'workloads/terminal'],
  'workloads/rest': [...judging, 'workloads/settings', 'workloads/history'],
  /** What a browser runs: of the others it takes types, and the words of the terminal. */
  'workloads/console': [...ground, 'workloads/terminal', 'workloads/history', 'workloads/rest'],
  'workloads/simulation': ground,
  'workloads/terminal': [...ground, 'workloads/simulation'],

  'workloads/consumer': doors,
  'workloads/api': doors,
  'workloads/inference': doors,
  'workloads/recorder': doors,
  'workloads/local': [...doors, ...desk],
  'workloads/backtest': desk,
  'workloads/replay': desk,
  'workloads/schema': desk,
  'workloads/models': desk,
  'workloads/copy': desk,
  'workloads/watch': desk,
  'workloads/feedback': desk,
  'workloads/init': desk,

  bin: [
    ...everything,
    ...[
      'consumer',
      'api',
      'inference',
      'recorder',
      'local',
      'backtest',
      'replay',
      'schema',
      'models',
      'copy',
      'watch',
      'feedback',
      'init',
    ].map((role) => `workloads/${role}`),
  ],
  tools: everything,
}

/** Values in, values out: these rooms import no package and nothing of Node.js. */
export const pure: readonly string[] = ['workloads/detection']
