/**
 * The trees of an isolation forest as flat arrays. Every tree is a complete binary tree of the same height, numbered as
 * in a heap: the root is 1, the children of i are 2i and 2i + 1, tree t's nodes begin at t · 2^height. A row goes right
 * where its value is at least the threshold. Below a leaf that lies higher up all thresholds are NaN, so that the walk
 * goes left to the bottom, where the leaf's path length waits: no walk ever has to ask whether it has arrived.
 */
export interface Trees {
  readonly count: number
  readonly height: number
  /** Width of a row. */
  readonly columns: number
  /** By node: twice the column that it looks at, plus 1 where a missing value goes right. */
  readonly slots: Int32Array
  /** By node. */
  readonly thresholds: Float64Array
  /** By leaf, from left to right: the path length of a row that ends there. */
  readonly leaves: Float64Array
}

/**
 * For each of the first `rows` rows of a row-major matrix, the sum of its path lengths in all trees. Columns that the
 * trees do not know are left out, columns that the matrix does not have count as missing (NaN).
 */
export function sumPaths(trees: Trees, matrix: Float64Array, rows: number, columns: number, sums: Float64Array): void {
  walker ??= createWalker()
  walker(trees, matrix, rows, columns, sums)
}

type Walker = typeof sumPaths

/** One a thread: it holds the trees that it walked last. */
let walker: Walker | undefined

/** Rows walked through one tree before the next is fetched: the tree and the rows stay in the processor's first cache. */
const blockRows = 64
/** Rows walked at the same time: one's loads overlap the others'. */
const lanes = 16
const nodeBytes = 16
const pageBytes = 65_536

function createWalker(): Walker {
  const memory = new WebAssembly.Memory({ initial: 1 })
  const instance = new WebAssembly.Instance(new WebAssembly.Module(assembleWalk()), { walk: { memory } })
  const walk = instance.exports.walk as Walk
  // Memory: sums of a block | nodes, 16 bytes each: threshold, byte offset of the slot in a group | rows of a block, group
  // after group: slot by slot, the values of the group's rows side by side.
  const nodesAt = blockRows * 8
  let numbers = new Float64Array(memory.buffer)
  let integers = new Int32Array(memory.buffer)
  let loaded: Trees | undefined
  let treeBytes = 0
  let groupBytes = 0
  let rowsAt = 0

  function load(trees: Trees): void {
    const half = 1 << trees.height
    treeBytes = 2 * half * nodeBytes
    groupBytes = 2 * Math.max(1, trees.columns) * lanes * 8
    rowsAt = nodesAt + trees.count * treeBytes
    const lacking = rowsAt + (blockRows / lanes) * groupBytes - memory.buffer.byteLength
    if (lacking > 0) {
      memory.grow(Math.ceil(lacking / pageBytes))
      numbers = new Float64Array(memory.buffer)
      integers = new Int32Array(memory.buffer)
    }
    const { slots, thresholds, leaves } = trees
    for (let tree = 0; tree < trees.count; tree++) {
      const first = (nodesAt + tree * treeBytes) / nodeBytes
      for (let i = 1; i < half; i++) {
        numbers[2 * (first + i)] = thresholds[tree * half + i]!
        integers[4 * (first + i) + 2] = slots[tree * half + i]! * lanes * 8
      }
      for (let i = 0; i < half; i++) numbers[2 * (first + half + i)] = leaves[tree * half + i]!
    }
    loaded = trees
  }

  return (trees, matrix, rows, columns, sums) => {
    if (loaded !== trees) load(trees)
    const known = Math.min(columns, trees.columns)
    for (let from = 0; from < rows; from += blockRows) {
      const count = Math.min(blockRows, rows - from)
      for (let i = 0; i < count; i++) {
        let to = (rowsAt + Math.floor(i / lanes) * groupBytes) / 8 + (i % lanes)
        for (let column = 0; column < trees.columns; column++, to += 2 * lanes) {
          const value = column < known ? matrix[(from + i) * columns + column]! : Number.NaN
          const present = !Number.isNaN(value)
          numbers[to] = present ? value : Number.NEGATIVE_INFINITY
          numbers[to + lanes] = present ? value : Number.POSITIVE_INFINITY
        }
      }
      numbers.fill(0, 0, blockRows)
      walk(0, nodesAt, trees.count, treeBytes, trees.height, rowsAt, Math.ceil(count / lanes), groupBytes)
      for (let row = 0; row < count; row++) sums[from + row] = numbers[row]!
    }
  }
}

type Walk = (
  sumsAt: number,
  nodesAt: number,
  trees: number,
  treeBytes: number,
  height: number,
  rowsAt: number,
  groups: number,
  groupBytes: number,
) => void

/** What of the WebAssembly JavaScript interface is used here. */
declare const WebAssembly: {
  readonly Memory: new (limits: {
    readonly initial: number
  }) => { readonly buffer: ArrayBuffer; grow(pages: number): number }
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, object>>,
  ) => { readonly exports: { readonly walk?: unknown } }
}

/** Instructions of WebAssembly, as bytes ("WebAssembly Core Specification", chapter 5). */
const op = {
  loop: (body: Code): Code => [0x03, 0x40, ...body, 0x0b],
  /** Jumps to the start of the innermost loop where the last result is not 0. */
  again: [0x0d, 0],
  get: (local: number): Code => [0x20, ...leb(local)],
  set: (local: number): Code => [0x21, ...leb(local)],
  tee: (local: number): Code => [0x22, ...leb(local)],
  integer: (n: number): Code => [0x41, ...leb(n)],
  loadInteger: (offset: number): Code => [0x28, 2, ...leb(offset)],
  load: (offset: number): Code => [0x2b, 3, ...leb(offset)],
  store: (offset: number): Code => [0x39, 3, ...leb(offset)],
  atLeast: [0x66],
  addNumbers: [0xa0],
  add: [0x6a],
  subtract: [0x6b],
  shiftLeft: [0x74],
} as const

type Code = readonly number[]

/** An unsigned integer, seven bits a byte, the lowest first; up to 63 it is the same as a signed one. */
function leb(n: number): Code {
  return n < 128 ? [n] : [(n & 127) | 128, ...leb(n >>> 7)]
}

/**
 * The walk as a WebAssembly module. Here a step is what C makes of it: two loads for the node, one for the value, a
 * comparison without a branch. In JavaScript it takes nearly twice as long, for the bounds of arrays and the registers
 * that they need.
 *
 *     for each tree: for each group of rows: for each level: for each row of the group:
 *       node = 2 · node + (row[node.slot] >= node.threshold)
 */
function assembleWalk(): Uint8Array {
  const { loop, again, get, set, tee, integer, loadInteger, load, store, add, shiftLeft } = op
  const [sums, nodes, trees, treeBytes, height, rows, groups, groupBytes] = [0, 1, 2, 3, 4, 5, 6, 7] as const
  const [sum, values, level, group, address] = [8, 9, 10, 11, 12] as const
  const node = Array.from({ length: lanes }, (_, lane) => 13 + lane)
  const locals = 13 + lanes
  const countDown = (local: number): Code => [...get(local), ...integer(1), ...op.subtract, ...tee(local), ...again]
  const advance = (local: number, by: Code): Code => [...get(local), ...by, ...add, ...set(local)]

  // A node is held as its byte offset in the tree.
  const step = (node: number, lane: number): Code => [
    ...[...get(node), ...integer(1), ...shiftLeft],
    ...[...get(values), ...get(nodes), ...get(node), ...add, ...tee(address), ...loadInteger(8), ...add],
    ...[...load(8 * lane), ...get(address), ...load(0), ...op.atLeast, ...integer(4), ...shiftLeft],
    ...[...add, ...set(node)],
  ]
  const addLeaf = (node: number, lane: number): Code => [
    ...[...get(sum), ...get(sum), ...load(8 * lane)],
    ...[...get(nodes), ...get(node), ...add, ...load(0), ...op.addNumbers, ...store(8 * lane)],
  ]
  const walkGroup = [
    ...node.flatMap((node) => [...integer(nodeBytes), ...set(node)]),
    ...[...get(height), ...set(level), ...loop([...node.flatMap(step), ...countDown(level)])],
    ...node.flatMap(addLeaf),
    ...advance(values, get(groupBytes)),
    ...advance(sum, [...integer(8), ...integer(Math.log2(lanes)), ...shiftLeft]),
  ]
  const walkTree = [
    ...[...get(sums), ...set(sum), ...get(rows), ...set(values), ...get(groups), ...set(group)],
    ...loop([...walkGroup, ...countDown(group)]),
    ...advance(nodes, get(treeBytes)),
  ]
  const parameters = 8
  const int32 = 0x7f
  const end = 0x0b
  const body = [1, locals - parameters, int32, ...loop([...walkTree, ...countDown(trees)]), end]
  const name = (text: string): Code => [text.length, ...Array.from(text, (letter) => letter.charCodeAt(0))]
  const section = (id: number, content: Code): Code => [id, ...leb(content.length), ...content]
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, parameters, ...Array<number>(parameters).fill(int32), 0]),
    ...section(2, [1, ...name('walk'), ...name('memory'), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('walk'), 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ])
}
