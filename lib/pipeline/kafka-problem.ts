import type { Pipeline } from './spec.ts'

/** What a pipeline asks for that cannot be had on Kafka; undefined where it can be run there. */
export function kafkaProblem({ spec: { event } }: Pipeline): string | undefined {
  if (event.secondaryKeys === undefined) return undefined
  return 'spec.event.secondaryKeys: on Kafka their events lie in many partitions, whose risks are not summed yet; only anomaly run and anomaly backtest know them'
}
