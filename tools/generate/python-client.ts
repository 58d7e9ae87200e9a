import { writeFileSync } from 'node:fs'
import { parsePipeline } from '../../lib/pipeline/parse-pipeline.ts'
import { apiLimits } from '../../workloads/rest/app.ts'
import { openapi } from '../../workloads/rest/openapi.ts'

interface Parameter {
  readonly name: string
  readonly in: string
  readonly required?: boolean
}

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: object
}

export const pythonClientPath = 'docs/python/anomaly_client.py'

/** A client in Python that needs nothing but its standard library, a method for each JSON operation of the OpenAPI description. */
export function pythonClient(): string {
  const { event } = parsePipeline({
    apiVersion: 'anomaly.com/v1alpha1',
    kind: 'AnomalyPipeline',
    metadata: { name: 'example' },
    spec: { source: { brokers: ['localhost:9092'] } },
  }).spec
  const { paths } = openapi(event, apiLimits, { bearer: false, history: true, overview: true })
  const methods = Object.entries(paths as Readonly<Record<string, Readonly<Record<string, Operation>>>>).flatMap(
    ([path, operations]) =>
      Object.entries(operations).flatMap(([verb, operation]) =>
        path.startsWith('/api/v1/') && path !== '/api/v1/stream' ? [methodOf(verb, path, operation)] : [],
      ),
  )
  return `${head}${methods.join('\n')}${tail}`
}

const head = `"""Client of the REST API, made of its OpenAPI description by \`npm run generate:docs\`."""
import json
import urllib.error
import urllib.parse
import urllib.request


class Problem(Exception):
    """A refusal, as RFC 9457 describes it: status, reason, detail."""

    def __init__(self, problem):
        super().__init__(problem.get("detail"))
        self.problem = problem


class Client:
    def __init__(self, url, token=None, timeout=10):
        self.url = url.rstrip("/")
        self.token = token
        self.timeout = timeout

`

const tail = `
    def _call(self, method, path, query=None, body=None):
        given = {name: value for name, value in (query or {}).items() if value is not None}
        url = self.url + path + ("?" + urllib.parse.urlencode(given) if given else "")
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = "Bearer " + self.token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise Problem(json.load(error)) from None


def _quote(text):
    return urllib.parse.quote(text, safe="")
`

const reserved = ['from']
const snake = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const variable = (name: string) => (reserved.includes(name) ? `${name}_` : snake(name))

function methodOf(
  verb: string,
  path: string,
  { operationId, summary, parameters = [], requestBody }: Operation,
): string {
  // What is written by pages and formats other than JSON is left to other clients.
  const query = parameters.filter((parameter) => parameter.in === 'query' && parameter.name !== 'format')
  const inPath = parameters.filter((parameter) => parameter.in === 'path')
  const needed = query.filter(({ required }) => required === true)
  const optional = query.filter(({ required }) => required !== true)
  const names = [
    ...['self', ...[...inPath, ...needed].map(({ name }) => variable(name))],
    ...(requestBody === undefined ? [] : ['body']),
    ...optional.map(({ name }) => `${variable(name)}=None`),
  ]
  const url = inPath.reduce(
    (text, { name }) => text.replace(`{${name}}`, `" + _quote(${variable(name)}) + "`),
    `"${path}"`,
  )
  const call = [`"${verb.toUpperCase()}"`, url.replace(/ \+ ""$/, '')]
  if (query.length > 0) call.push(`query={${query.map(({ name }) => `"${name}": ${variable(name)}`).join(', ')}}`)
  if (requestBody !== undefined) call.push('body=body')
  return `    def ${snake(operationId)}(${names.join(', ')}):
        """${summary}."""
        return self._call(${call.join(', ')})
`
}

if (import.meta.main) writeFileSync(new URL(`../../${pythonClientPath}`, import.meta.url), pythonClient())
