interface Destination {
  readonly host: string
  readonly port: number
}
type Build = (destination?: Destination) => Promise<unknown>
/** kafkajs' maker of connection pools. */
export type PoolBuilder = (options: { readonly brokers: readonly string[] }) => { readonly build: Build }

/** Wraps the stock builder, which splits `[::1]:9092` at its first colon. */
export function withAddresses(stock: PoolBuilder): PoolBuilder {
  return (options) => {
    const { build } = stock(options)
    const addresses = options.brokers.map(addressOf)
    let next = 0
    return { build: (destination = addresses[next++ % addresses.length]) => build(destination) }
  }
}

/** Host and port of `kafka:9092`, `10.0.0.1:9092` or `[::1]:9092`. */
export function addressOf(broker: string): Destination {
  const colon = broker.lastIndexOf(':')
  return { host: broker.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(broker.slice(colon + 1)) }
}
