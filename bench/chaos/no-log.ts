import type { Logger } from '../../lib/log.ts'

const silent = (): void => {}
export const noLog: Logger = { debug: silent, info: silent, warn: silent, error: silent }
