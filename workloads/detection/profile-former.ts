import { logDeviation, ProfileField } from './profile-field.ts'
import {
  atExcess,
  atExcessWeight,
  atPace,
  atTime,
  atWeight,
  groupWidth,
  header,
  mostPresence,
  perGroup,
  widthFor,
  withBits,
} from './profile-layout.ts'
import { TailHistogram, type TailShape } from './tail-histogram.ts'

/**
 * The first layout of profiles. Of a key: weight, run at the edge, excess, weight of the excess, time in two halves; then
 * location from the field's origin and variance of each field. Shared: the calibrations of amount, excess and join; then
 * of each field origin, weight, mean, variance and calibration.
 */
const formerHeader = 6
const formerFieldBytes = 32 + new TailHistogram(logDeviation).bytes

/** A key's memory in today's layout. The fields are those that were read from the shared memory of its partition. */
export function currentKey(from: DataView, offset: number, length: number, fields: readonly ProfileField[]): DataView {
  const numbers = length / 4 - formerHeader
  if (!Number.isInteger(numbers / 2) || numbers < 0) throw new RangeError(`${length} bytes are no memory of a profile`)
  const former = (i: number) => from.getFloat32(offset + 4 * i, true)
  const page = new Float32Array(widthFor(numbers / 2))
  page[atWeight] = former(0)
  page[atPace] = former(0)
  page[atExcess] = former(2)
  page[atExcessWeight] = former(3)
  page[atTime] = former(4)
  page[atTime + 1] = former(5)
  for (let f = 0; f < numbers / 2; f++) {
    const variance = former(formerHeader + 2 * f + 1)
    const field = fields[f]
    if (variance === 0 || field === undefined) continue
    const group = header + groupWidth * Math.floor(f / perGroup)
    const own = group + 1 + 2 * (f % perGroup)
    page[group] = withBits(page[group]!, f % perGroup, mostPresence, 0)
    page[own] = field.inUnits(former(formerHeader + 2 * f))
    page[own + 1] = Math.max(field.inUnits(Math.sqrt(variance)), 2 ** -100)
  }
  const view = new DataView(new ArrayBuffer(page.byteLength))
  for (let i = 0; i < page.length; i++) view.setFloat32(4 * i, page[i]!, true)
  return view
}

/** The shared memory in today's layout. @param joined shape of the last calibration */
export function currentShared(bytes: Uint8Array, joined: TailShape): Uint8Array {
  const from = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [amount, excess, first] = [logDeviation, logDeviation, logDeviation].map((shape) => new TailHistogram(shape))
  const tails = [amount!, excess!, first!, new TailHistogram(joined)]
  let at = 0
  for (const tail of tails) {
    // Of first numbers the former layout had no calibration.
    if (tail === first) continue
    tail.load(from, at)
    at += tail.bytes
  }
  const count = (bytes.length - at) / formerFieldBytes
  if (!Number.isInteger(count) || count < 0)
    throw new RangeError(`${bytes.length} bytes are no shared memory of a profile`)
  const fields = Array.from({ length: count }, (_, f) => {
    const place = at + f * formerFieldBytes
    const [origin, weight, mean, variance] = [0, 8, 16, 24].map((i) => from.getFloat64(place + i, true))
    const field = new ProfileField()
    field.begin({ origin: origin!, weight: weight!, mean: mean!, spread: Math.sqrt(variance!) })
    field.tail.load(from, place + 32)
    return field
  })
  const current = new Uint8Array(tails.reduce((sum, tail) => sum + tail.bytes, 0) + count * ProfileField.bytes)
  const into = new DataView(current.buffer)
  let to = 0
  for (const part of [...tails, ...fields]) {
    part.save(into, to)
    to += part instanceof TailHistogram ? part.bytes : ProfileField.bytes
  }
  return current
}
