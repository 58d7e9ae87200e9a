/** A value as JSON gives it and nobody changes it: read-only throughout, and a field that is absent is not there at all. */
export type Plain<T> = T extends object ? { readonly [K in keyof T]: Plain<Exclude<T[K], undefined>> } : T
