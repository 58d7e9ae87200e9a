import { expect } from 'chai'
import type { Measurement } from './measurement.ts'
import { lossesOf, referenceOf, withAblation, withTable } from './reference.ts'

const empty = 'Before.\n<!-- figures: written by bench/quality/quality.ts -->\n<!-- end of figures -->\nAfter.\n'
const kpi = (found: number, wrong: number): Measurement => ({
  collection: 'kpi',
  scope: '',
  figures: [
    { name: 'found', pipeline: found, baseline: 200, digits: 0, tolerance: 2 },
    { name: 'false', pipeline: wrong, digits: 0, tolerance: 2, better: 'lower' },
  ],
})
const rows: Measurement = {
  collection: 'rows',
  scope: '',
  figures: [{ name: 'ROC AUC', pipeline: 0.75, deviation: 0.004, baseline: 0.7, forest: 0.76 }],
}

describe('The table of reference', () => {
  it('is read as it was written, and keeps what was not measured', () => {
    const document = withTable(withTable(empty, [kpi(210, 80), rows]), [kpi(215, 82)])
    expect(document).to.include('| rows | ROC AUC | 0.750 ± 0.004 | 0.700 | 0.760 |')
    expect(document.startsWith('Before.')).to.equal(true)
    expect(document.endsWith('After.\n')).to.equal(true)
    expect([...referenceOf(document)]).to.have.deep.members([
      ['rows ROC AUC', 0.75],
      ['kpi found', 215],
      ['kpi false', 82],
    ])
  })

  it('stands beside the table of what each part adds, which replaces the one before', () => {
    const marks = '<!-- ablation: written by bench/quality/ablation.ts -->\nformer\n<!-- end of ablation -->'
    const document = withAblation(`${empty}${marks}\nEnd.\n`, 40, ['| as it is | 71.3 | 203 / 69 | 57 / 201 |'])
    expect(document).to.include('| as it is | 71.3 | 203 / 69 | 57 / 201 |\n<!-- end of ablation -->\nEnd.\n')
    expect(document).to.include('of 40 injected')
    expect(document).not.to.include('former')
    expect(referenceOf(document).size).to.equal(0)
  })

  it('tells a loss beyond the tolerance, in either direction', () => {
    const reference = referenceOf(withTable(empty, [kpi(210, 80), rows]))
    expect(lossesOf([kpi(208, 82), rows], reference)).to.deep.equal([])
    expect(lossesOf([kpi(207, 83)], reference)).to.deep.equal([
      'kpi: found is 207 and was 210',
      'kpi: false is 83 and was 80',
    ])
    const worse = { ...rows, figures: [{ ...rows.figures[0]!, pipeline: 0.739 }] }
    expect(lossesOf([worse], reference)).to.have.length(1)
  })
})
