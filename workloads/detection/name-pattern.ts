/** Of a pattern of names, what stands between its asterisks; each stands for any text. */
export type NamePattern = readonly string[]

export function namePattern(text: string): NamePattern {
  return text.split('*')
}

/** In one pass, whatever the pattern. */
export function isNamedBy(pattern: NamePattern, name: string): boolean {
  const [first, last] = [pattern[0]!, pattern.at(-1)!]
  if (pattern.length === 1) return name === first
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false
  const end = name.length - last.length
  let at = first.length
  for (const part of pattern.slice(1, -1)) {
    const found = name.indexOf(part, at)
    if (found === -1 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
