import { chartFolder, helm } from './chart.ts'

/** Writes the chart's package into the folder that is named. */
const [folder] = process.argv.slice(2)
process.stdout.write(await helm(['package', chartFolder, '--destination', folder!]))
