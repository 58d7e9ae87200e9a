import type { Surprisal } from '../detection/detector.ts'
import type { Model } from '../detection/model.ts'
import type { RowExplanation } from '../detection/scored-rows.ts'
import { seal, unseal } from '../detection/sealed-bytes.ts'
import { ColumnLayout, type NamedRows } from './column-layout.ts'
import type { ModelMaker } from './model-makers.ts'
import type { RowBatch } from './scorer.ts'

const kind = 'MSET'
const format = 1

export interface SetScores {
  /** By detector, then by row. */
  readonly surprisals: readonly Float64Array[]
  readonly explanations: ReadonlyMap<number, readonly RowExplanation[]>
}

/** The models of a pipeline, one a detector that needs one, fitted on the same rows: what is stored, named and swapped as one. */
export class ModelSet {
  readonly version: string
  readonly rowsSeen: number
  readonly columns: readonly string[]
  readonly models: readonly Model[]
  readonly #layout: ColumnLayout

  /** @throws RangeError without models */
  constructor(models: readonly Model[]) {
    const [first] = models
    if (first === undefined) throw new RangeError('a set of models has at least one')
    this.models = models
    this.version = models.map(({ version }) => version).join('+')
    this.rowsSeen = first.rowsSeen
    this.columns = first.columns
    this.#layout = new ColumnLayout(first.columns)
  }

  /** Columns that the models do not know are left out, columns that the rows lack count as missing. */
  score(batch: RowBatch): SetScores {
    const { count } = batch
    const { rows, width } = this.#layout.lay(batch)
    const explanations = new Map<number, RowExplanation[]>()
    const surprisals = this.models.map((model, index) => {
      const out = new Float64Array(count)
      model.score(rows, count, width, out)
      for (let row = 0; row < count; row++) {
        if (!(out[row]! >= batch.explainFrom)) continue
        const reasons = model.explain(rows.subarray(row * width, (row + 1) * width), out[row]!)
        const all = explanations.get(row) ?? []
        for (const reason of reasons) all.push({ model: index, ...reason })
        explanations.set(row, all)
      }
      return out
    })
    return { surprisals, explanations }
  }

  /** The mean of the models' surprisals, by row; NaN where none of them says anything. */
  means(rows: NamedRows): Float64Array<ArrayBuffer> {
    const { surprisals } = this.score({ ...rows, explainFrom: Number.POSITIVE_INFINITY })
    return Float64Array.from({ length: rows.count }, (_, row) => meanOf(surprisals, row))
  }

  /** The artifact that `decodeModelSet` reads: number of models, then each with its length before it. */
  encode(): Uint8Array {
    const artifacts = this.models.map((model) => model.encode())
    const payload = new Uint8Array(artifacts.reduce((sum, { length }) => sum + 4 + Math.ceil(length / 4) * 4, 4))
    const view = new DataView(payload.buffer)
    view.setUint32(0, artifacts.length, true)
    let at = 4
    for (const artifact of artifacts) {
      view.setUint32(at, artifact.length, true)
      payload.set(artifact, at + 4)
      at += 4 + Math.ceil(artifact.length / 4) * 4
    }
    return seal(kind, format, payload)
  }
}

/** Of the models that say something of the row. */
export function meanOf(surprisals: readonly Float64Array[], row: number): Surprisal {
  let sum = 0
  let answering = 0
  for (const ofModel of surprisals) {
    const surprisal = ofModel[row]!
    if (Number.isNaN(surprisal)) continue
    sum += surprisal
    answering++
  }
  return sum / answering
}

/**
 * @param makers of the pipeline's detectors that need a model
 * @throws ForeignModelError, Error that names what is wrong with the bytes
 */
export function decodeModelSet(bytes: Uint8Array, makers: readonly Pick<ModelMaker, 'read'>[]): ModelSet {
  const payload = unseal(kind, format, bytes)
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  const count = view.getUint32(0, true)
  if (count !== makers.length)
    throw new Error(`Cannot read ${kind}: it has ${count} models, the pipeline needs ${makers.length}`)
  const models: Model[] = []
  let at = 4
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(at, true)
    models.push(makers[i]!.read(payload.subarray(at + 4, at + 4 + length)))
    at += 4 + Math.ceil(length / 4) * 4
  }
  return new ModelSet(models)
}
