import { createMemoryState } from './memory.ts'
import type { StateStore } from './state.ts'
import { behavesAsStateStore, suiteSettings } from './state-suite.ts'

describe('Memory state', () => {
  let time = 1_700_000_000_000
  let shared: StateStore
  beforeEach(() => {
    shared = createMemoryState({ ...suiteSettings, now: () => time })
  })
  behavesAsStateStore(
    async () => shared,
    async (ms) => {
      time += ms
    },
  )
})
