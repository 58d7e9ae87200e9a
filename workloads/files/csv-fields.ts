/** A row that is not finished: a quote is open at its end. */
export const unfinished = Symbol('unfinished')

/**
 * The fields of one row of CSV (RFC 4180): parted by the delimiter, in double quotes where they hold a delimiter, a
 * quote (doubled) or a line break. Spaces around fields and quotes are no part of them. An Error says why a row cannot
 * be read.
 */
export function csvFields(row: string, delimiter = ','): readonly string[] | typeof unfinished | Error {
  if (!row.includes('"')) {
    const fields = row.split(delimiter)
    if (row.includes(' ')) for (let i = 0; i < fields.length; i++) fields[i] = fields[i]!.trim()
    return fields
  }
  const fields: string[] = []
  let at = 0
  for (;;) {
    const start = behindSpaces(row, at)
    if (row[start] === '"') {
      let field = ''
      let from = start + 1
      let quote = row.indexOf('"', from)
      while (quote >= 0 && row[quote + 1] === '"') {
        field += row.slice(from, quote + 1)
        from = quote + 2
        quote = row.indexOf('"', from)
      }
      if (quote < 0) return unfinished
      fields.push(field + row.slice(from, quote))
      at = behindSpaces(row, quote + 1)
      if (at < row.length && row[at] !== delimiter)
        return new Error(`text follows the quotes of field ${fields.length}`)
    } else {
      const end = row.indexOf(delimiter, at)
      const field = end < 0 ? row.slice(at) : row.slice(at, end)
      if (field.includes('"'))
        return new Error(`a quote within field ${fields.length + 1}, which does not begin with one`)
      fields.push(field.trim())
      at = end < 0 ? row.length : end
    }
    if (at === row.length) return fields
    at++
  }
}

function behindSpaces(row: string, at: number): number {
  let behind = at
  while (row[behind] === ' ') behind++
  return behind
}
