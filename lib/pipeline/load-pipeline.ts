import { readFile } from 'node:fs/promises'
import { type Document, isMap, isNode, isScalar, LineCounter, parseAllDocuments } from 'yaml'
import { AppError, messageOf } from '../errors.ts'
import { checkPipeline } from './parse-pipeline.ts'
import type { Pipeline } from './spec.ts'

/**
 * Reads a pipeline from a YAML or JSON file: validated, with static defaults. Throws InvalidPipeline with one line for
 * each thing that is wrong: `<file>:<line>: <field>: <what>`.
 */
export async function loadPipeline(path: string): Promise<Pipeline> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw invalid(`${path}: ${readFailures[error.code ?? ''] ?? messageOf(error)}`, error)
  })
  return pipelineOf(text, path)
}

/** The same of a text; `path` is the file that messages name. */
export function pipelineOf(text: string, path: string): Pipeline {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' })
  const [document, second] = documents.filter((one) => !isEmpty(one) || one.errors.length > 0)
  if (document === undefined) throw invalid(`${path}: is empty; an AnomalyPipeline is expected`)
  const [error] = document.errors
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0])
    throw invalid(`${path}:${line}:${col}: ${error.message}`, error)
  }
  if (second !== undefined) {
    const { line } = lines.linePos(second.contents?.range[0] ?? second.range[0])
    throw invalid(`${path}:${line}: a second document begins here; one is expected`)
  }

  const { pipeline, issues } = checkPipeline(plainValue(document, path))
  if (pipeline !== undefined) return pipeline
  const located = issues.map((issue) => ({
    line: lines.linePos(offsetOf(document, issue.path)).line,
    text: issue.line,
  }))
  located.sort((a, b) => a.line - b.line)
  throw invalid(located.map(({ line, text }) => `${path}:${line}: ${text}`).join('\n'))
}

const invalid = (message: string, cause?: unknown) => new AppError('InvalidPipeline', message, { cause })

const readFailures: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EISDIR: 'is a folder; a file is expected',
  EACCES: 'may not be read',
}

/** Nothing but comments, or `null` in words. */
const isEmpty = ({ contents }: Document) => contents === null || (isScalar(contents) && contents.value === null)

function plainValue(document: Document, path: string): unknown {
  let value: unknown
  try {
    value = document.toJS()
  } catch (error) {
    throw invalid(`${path}: ${messageOf(error)}`, error) // an alias without an anchor, or aliases that multiply
  }
  try {
    JSON.stringify(value)
  } catch (error) {
    throw invalid(`${path}: an alias is part of what it stands for, or the document is nested too deeply`, error)
  }
  return value
}

/** Where the field is in the text, or else the nearest group of fields around it. */
function offsetOf(document: Document, path: readonly (string | number)[]): number {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  const pair = isMap(parent)
    ? parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(path.at(-1)))
    : undefined
  const node = pair?.key ?? document.getIn(path, true)
  if (isNode(node) && node.range) return node.range[0]
  return path.length > 1 ? offsetOf(document, path.slice(0, -1)) : 0
}
