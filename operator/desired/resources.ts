/** Resources of a container as a person states them, in part or in full. */
export interface Resources {
  readonly requests?: Amounts | undefined
  readonly limits?: Amounts | undefined
}

type Amounts = Readonly<Partial<Record<string, string | number | undefined>>>

const powers: Readonly<Record<string, number>> = {
  ...{ n: 1e-9, u: 1e-6, m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 },
}

/** The amount of a quantity, as far as a double is exact. */
export function amountOf(quantity: string | number): number {
  const [, digits = '0', unit = ''] = /^\+?([0-9.]+(?:[eE][-+]?[0-9]+)?)([a-zA-Z]*)$/.exec(String(quantity)) ?? []
  return Number(digits) * (powers[unit] ?? 1)
}

/**
 * What was stated, with the rest from the defaults. A default gives way where it would contradict what was stated: a
 * request never exceeds its limit.
 */
export function mergedResources(stated: Resources | undefined, defaults: Required<Resources>): Required<Resources> {
  const names = new Set(
    [stated?.requests, stated?.limits, defaults.requests, defaults.limits].flatMap((some) => Object.keys(some ?? {})),
  )
  const requests: Record<string, string | number> = {}
  const limits: Record<string, string | number> = {}
  for (const name of names) {
    const [request, limit] = [stated?.requests?.[name], stated?.limits?.[name]]
    const least = request ?? defaults.requests?.[name]
    const most = limit ?? defaults.limits?.[name]
    const contradicts = least !== undefined && most !== undefined && amountOf(least) > amountOf(most)
    if (least !== undefined) requests[name] = contradicts && request === undefined ? most : least
    if (most !== undefined) limits[name] = contradicts && limit === undefined ? least : most
  }
  return { requests, limits }
}
