import { readFileSync } from 'node:fs'

/** An SVG of what `bench/soak.ts` printed, one file a run: resident memory of each role over time. */

interface Soak {
  readonly minutes: number
  readonly rate: number
  readonly consumer: { readonly mebibytes: readonly number[] }
  readonly inference: { readonly mebibytes: readonly number[] }
}

const [width, height, left, right, top, bottom] = [760, 300, 48, 190, 16, 36] as const
const soaks = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, 'utf8')) as Soak)
const lines = soaks.flatMap(({ minutes, rate, ...of }) =>
  (['consumer', 'inference'] as const).map((role) => ({ role, rate, minutes, mebibytes: of[role].mebibytes })),
)
const longest = Math.max(...soaks.map(({ minutes }) => minutes))
const most = 100 * Math.ceil(Math.max(...lines.flatMap(({ mebibytes }) => mebibytes)) / 100)
const x = (minute: number): number => Math.round(left + (minute / longest) * (width - left - right))
const y = (mebibytes: number): number => Math.round(height - bottom - (mebibytes / most) * (height - top - bottom))
const colors = { consumer: '#0969da', inference: '#bc4c00' } as const
const fastest = Math.max(...soaks.map(({ rate }) => rate))

const grid = Array.from({ length: most / 100 + 1 }, (_, i) => 100 * i).map(
  (mebibytes) =>
    `<path d="M${left} ${y(mebibytes)}H${width - right}" stroke="#8c959f" stroke-opacity=".3"/>` +
    `<text x="${left - 8}" y="${y(mebibytes) + 4}" text-anchor="end">${mebibytes}</text>`,
)
const ticks = Array.from({ length: Math.floor(longest / 10) + 1 }, (_, i) => 10 * i).map(
  (minute) => `<text x="${x(minute)}" y="${height - bottom + 20}" text-anchor="middle">${minute}</text>`,
)
const curves = lines.map(({ role, rate, minutes, mebibytes }) => {
  // each is the median of its part of the time
  const points = mebibytes.map((of, i) => `${x(((i + 0.5) * minutes) / mebibytes.length)} ${y(of)}`)
  const dashes = rate === fastest ? '' : ' stroke-dasharray="5 4"'
  const lift = rate === fastest ? -3 : 11
  return (
    `<path d="M${points.join('L')}" fill="none" stroke="${colors[role]}" stroke-width="2"${dashes}/>` +
    `<text x="${width - right + 8}" y="${y(mebibytes.at(-1)!) + lift}" fill="${colors[role]}">${role}, ${rate} events/s</text>`
  )
})
console.log(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13" fill="#6e7781" role="img">
<title>Resident memory in MiB over ${longest} minutes</title>
${[...grid, ...ticks, ...curves].join('\n')}
<text x="${left}" y="${height - 2}">minutes</text>
</svg>`)
