import { expect } from 'chai'
import { driftOf } from './drift.ts'

const intent = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'a', labels: { app: 'x' } },
  spec: { selector: { app: 'x' }, ports: [{ port: 80, protocol: 'TCP', name: 'http' }] },
}
const entry = (manager: string, time: string, fieldsV1: object, operation = 'Update') => ({
  manager,
  operation,
  time,
  fieldsV1,
})
const live = (...managedFields: readonly object[]) => ({
  ...intent,
  metadata: { ...intent.metadata, managedFields },
})
const port = 'k:{"port":80,"protocol":"TCP"}'
const own = (spec: object) =>
  entry('me', '2025-06-01T12:00:00Z', { 'f:metadata': { 'f:labels': { 'f:app': {} } }, 'f:spec': spec }, 'Apply')

describe('driftOf', () => {
  it('names the field and who set it', () => {
    const edited = entry('kubectl-edit', '2025-06-02T12:00:00Z', {
      'f:spec': { 'f:ports': { [port]: { 'f:name': {} } } },
    })
    const other = entry('kubectl-annotate', '2025-06-03T12:00:00Z', {
      'f:metadata': { 'f:annotations': { 'f:x': {} } },
    })
    const mine = own({ 'f:selector': { 'f:app': {} }, 'f:ports': { [port]: { 'f:port': {}, 'f:protocol': {} } } })
    expect(driftOf(live(mine, edited, other), intent, 'me')).to.deep.equal({
      fields: ['spec.ports[port=80,protocol=TCP].name'],
      managers: ['kubectl-edit'],
    })
  })

  it('takes a field that nobody owns for removed by whoever wrote last', () => {
    const mine = own({ 'f:ports': { [port]: { 'f:port': {}, 'f:protocol': {}, 'f:name': {} } } })
    const first = entry('helm', '2025-06-02T12:00:00Z', {})
    const last = entry('kubectl-patch', '2025-06-03T12:00:00Z', {})
    expect(driftOf(live(mine, last, first), intent, 'me')).to.deep.equal({
      fields: ['spec.selector'],
      managers: ['kubectl-patch'],
    })
    expect(driftOf(live(mine), intent, 'me').managers).to.deep.equal([])
  })
})
