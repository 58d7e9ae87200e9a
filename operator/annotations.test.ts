import { expect } from 'chai'
import { annotationIssues, annotationWarnings, isDisabled } from './annotations.ts'

const annotated = (annotations: Readonly<Record<string, string>>) => ({
  apiVersion: 'anomaly.com/v1alpha1',
  kind: 'AnomalyPipeline',
  metadata: { name: 'payments', namespace: 'shop', annotations },
})

describe('annotations of a pipeline', () => {
  it('are taken at their word', () => {
    expect(isDisabled(annotated({ 'anomaly.com/reconcile': 'Disabled' }))).to.equal(true)
    for (const annotations of [
      { 'anomaly.com/reconcile': 'Disabled', 'anomaly.com/restart-at': '2025-06-01T12:00:00+02:00' },
      { 'anomaly.com/reconcile': 'Enabled', other: 'x' },
      {},
    ]) {
      expect(annotationIssues(annotated(annotations))).to.deep.equal([])
      expect(annotationWarnings(annotated(annotations))).to.deep.equal([])
    }
  })

  it('are refused where their value means nothing', () => {
    expect(annotationIssues(annotated({ 'anomaly.com/reconcile': 'disabled' }))).to.deep.equal([
      'metadata.annotations["anomaly.com/reconcile"]: must be Enabled or Disabled, not "disabled"',
    ])
    expect(annotationIssues(annotated({ 'anomaly.com/restart-at': 'x'.repeat(1000) }))).to.have.length(1)
  })

  it('are warned of where nobody reads them', () => {
    expect(annotationWarnings(annotated({ 'anomaly.com/reconsile': 'Disabled' }))).to.deep.equal([
      'metadata.annotations["anomaly.com/reconsile"]: nobody reads it (did you mean anomaly.com/reconcile?)',
    ])
  })
})
