/** Shows what the bucket under the pointer holds. The page says everything without it. */
export const hoverScript = `
const { height, points } = JSON.parse(document.getElementById('buckets').textContent)
const svg = document.querySelector('#score-chart .plot > svg')
const cursor = document.getElementById('cursor')
const readout = document.getElementById('readout')
const hide = () => { readout.hidden = true; cursor.setAttribute('visibility', 'hidden') }
svg.addEventListener('pointerleave', hide)
svg.addEventListener('pointermove', (event) => {
  const box = svg.getBoundingClientRect()
  const x = (event.clientX - box.left) / box.width * 1000
  if (x < -5 || x > 1005 || points.length === 0) return hide()
  let low = 0, high = points.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((points[middle][0] + points[middle + 1][0]) / 2 < x) low = middle + 1
    else high = middle
  }
  const [at, level, when, score, key, alerts, anomalies] = points[low]
  cursor.setAttribute('x1', at / 10 + '%')
  cursor.setAttribute('x2', at / 10 + '%')
  cursor.setAttribute('visibility', 'visible')
  readout.textContent = [when, 'score ' + score + (key && '  ' + key),
    alerts && alerts + (alerts === 1 ? ' alert' : ' alerts'), anomalies && anomalies + ' labelled'].filter(Boolean).join('\\n')
  readout.hidden = false
  const left = svg.parentElement.getBoundingClientRect()
  const middle = box.left - left.left + at / 1000 * box.width
  const side = at > 500 ? middle - readout.offsetWidth - 12 : middle + 12
  readout.style.transform = 'translate(' + side + 'px,' + Math.max(0, level - 20) + 'px)'
})
`
