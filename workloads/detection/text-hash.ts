/** FNV-1a over UTF-16 units with murmur3's finish, so that the low bits are usable. */
export function textHash(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  return hash ^ (hash >>> 13)
}

/** The hash as the number of a source of rows, never 0. */
export function sourceIdOf(hash: number): number {
  return hash >>> 0 || 1
}
