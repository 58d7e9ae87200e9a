import { isMap, parseAllDocuments } from 'yaml'
import type { DetectionSpec, Pipeline } from '../../../lib/pipeline/spec.ts'

/** What a proposal may change. */
const changeable = ['detectors', 'alertBudget', 'alertBudgetPerMillion', 'threshold'] as const

/** The text of the document with what the proposal changes, as it was otherwise, with its comments. */
export function proposedText(text: string, given: Pipeline, proposal: Pipeline): string {
  const changed = changeable.filter((field) => shown(given, field) !== shown(proposal, field))
  if (changed.length === 0) return text
  const documents = parseAllDocuments(text)
  const document = documents.find(({ contents }) => isMap(contents))!
  for (const field of changed) {
    const path = ['spec', 'detection', field]
    const value = proposal.spec.detection[field]
    if (value === undefined) document.deleteIn(path)
    else document.setIn(path, document.createNode(value))
  }
  return asWritten(documents.map((one) => one.toString({ lineWidth: 120 })).join(''), text)
}

/** The lines that differ from the text in spaces alone, within a line, as they stand in it. */
function asWritten(proposed: string, text: string): string {
  const bare = (line: string) => line.replace(/(?<=\S)\s+/g, '')
  const written = text.split('\n')
  let at = 0
  const lines = proposed.split('\n').map((line) => {
    const found = written.findIndex((one, i) => i >= at && bare(one) === bare(line))
    if (found < 0) return line
    at = found + 1
    return written[found]!
  })
  return lines.join('\n')
}

/** In words, a line for each field that changes: `spec.detection.detectors: […]`. */
export function changesOf(given: Pipeline, proposal: Pipeline): readonly string[] {
  return changeable.flatMap((field) => {
    const [before, after] = [shown(given, field), shown(proposal, field)]
    if (before === after) return []
    return [`spec.detection.${field}: ${after ?? 'left out'}${before === undefined ? '' : ` (was ${before})`}`]
  })
}

function shown({ spec }: Pipeline, field: keyof DetectionSpec): string | undefined {
  return spec.detection[field] === undefined ? undefined : JSON.stringify(spec.detection[field])
}
