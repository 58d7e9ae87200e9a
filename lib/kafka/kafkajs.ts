import { createRequire } from 'node:module'
import type * as Kafkajs from 'kafkajs'
import { codecs } from './codecs.ts'
import { patchKafkajs } from './patches.ts'

type Loaded = typeof Kafkajs & {
  /** Whether it is of the version that the patches know; another one runs as it is. */
  readonly isPatched: boolean
}
let loaded: Loaded | undefined

/** kafkajs, patched before it is loaded for the first time, with all codecs. The only place that loads it. */
export function loadKafkajs(): Loaded {
  if (loaded === undefined) {
    const require = createRequire(import.meta.url)
    const isPatched = patchKafkajs(require)
    const kafkajs = require('kafkajs') as typeof Kafkajs
    Object.assign(kafkajs.CompressionCodecs, codecs)
    loaded = { ...kafkajs, isPatched }
  }
  return loaded
}
