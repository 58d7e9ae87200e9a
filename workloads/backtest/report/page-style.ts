/** Light and dark by the reader's preference; always light on paper. */
export const pageStyle = `
:root {
  color-scheme: light dark;
  --page: light-dark(#ffffff, #14171a);
  --ink: light-dark(#1b1f24, #e4e7ea);
  --muted: light-dark(#5c6670, #98a2ac);
  --line: light-dark(#e3e7eb, #2a3036);
  --area: light-dark(#d3dae2, #39424c);
  --edge: light-dark(#9aa7b4, #5f6d7b);
  --good: light-dark(#0a6ebd, #56aef0);
  --bad: light-dark(#c8480c, #f2894f);
  --float: light-dark(#1b1f24, #e4e7ea);
  --float-ink: light-dark(#ffffff, #14171a);
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 48px 32px 40px; max-width: 1144px; background: var(--page); color: var(--ink);
  font: 15px/1.5 Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', sans-serif;
  font-variant-numeric: tabular-nums;
}
h1, h2, p, figure, table, dl, dd { margin: 0; }
h1 { font-size: 32px; line-height: 1.2; font-weight: 650; letter-spacing: -.018em; overflow-wrap: anywhere; }
h2 { font-size: 17px; line-height: 1.3; font-weight: 600; letter-spacing: -.006em; }
section { margin-top: 52px; }
header .kind { color: var(--muted); font-size: 13px; margin-bottom: 4px; }
header .facts { color: var(--muted); margin-top: 8px; display: flex; flex-wrap: wrap; gap: 0 24px; overflow-wrap: anywhere; }
.note { color: var(--muted); font-size: 13px; margin-top: 2px; max-width: 76ch; }
.figures + .note { margin-top: 20px; }
code { font: inherit; color: var(--ink); white-space: nowrap; }

.figures { margin-top: 32px; display: grid; grid-template-columns: repeat(auto-fit, minmax(158px, 1fr)); gap: 24px 28px; }
.figures div { border-top: 1px solid var(--line); padding-top: 10px; display: flex; flex-direction: column; }
.figures dt { font-size: 13px; color: var(--muted); }
.figures .value { font-size: 27px; line-height: 1.3; font-weight: 600; letter-spacing: -.015em; }
.figures .aside { font-size: 13px; color: var(--muted); }

figure { margin-top: 16px; break-inside: avoid; }
.plot { position: relative; }
.scores { padding: 32px 84px 0 84px; }
.shares { padding: 32px 14px 0 52px; }
svg { display: block; overflow: visible; }
svg text { font-size: 12px; fill: var(--muted); }
.left { text-anchor: end; } .right { text-anchor: start; } .below { text-anchor: middle; }
.grid { stroke: var(--line); } .tick { stroke: var(--edge); } .cursor { stroke: var(--ink); stroke-opacity: .45; }
path { fill: none; vector-effect: non-scaling-stroke; stroke-linecap: round; stroke-linejoin: round; }
.area { fill: var(--area); stroke: none; }
.curve { stroke: var(--edge); stroke-width: 1.5; }
.threshold { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 2 3; stroke-linecap: butt; }
.alert { stroke: var(--good); stroke-width: 7; }
.false-alert { stroke: var(--bad); stroke-width: 7; }
.hole { stroke: var(--page); stroke-width: 3.5; }
.anomaly { stroke: var(--good); stroke-width: 1; stroke-linecap: butt; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 20px; font-size: 13px; color: var(--muted); }
.legend span { display: inline-flex; align-items: center; gap: 7px; }
.key { height: 10px; width: auto; flex: none; }
.axis-title { text-align: center; font-size: 12px; color: var(--muted); }
.axis-title + .legend { margin-top: 12px; }
#readout {
  position: absolute; top: 0; left: 0; pointer-events: none; padding: 5px 9px; border-radius: 4px; white-space: pre;
  background: var(--float); color: var(--float-ink); font-size: 12px; line-height: 1.45; max-width: 320px; overflow: hidden;
}

.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); gap: 52px 48px; margin-top: 52px; }
.columns section { margin: 0; min-width: 0; }

table { width: 100%; border-collapse: collapse; margin-top: 14px; font-size: 14px; }
caption { text-align: left; color: var(--muted); font-size: 13px; padding-bottom: 8px; }
th { font-weight: 500; font-size: 13px; color: var(--muted); text-align: left; vertical-align: bottom; }
th, td { padding: 7px 20px 7px 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
th:last-child, td:last-child { padding-right: 0; }
.number { text-align: right; white-space: nowrap; }
.name { overflow-wrap: anywhere; }
.events .name { white-space: nowrap; } .events .long { min-width: 20ch; max-width: 26ch; white-space: normal; }
.event { max-width: 26ch; overflow-wrap: anywhere; } .event div:first-child { white-space: nowrap; } .event div + div { color: var(--muted); }
.reasons { min-width: 30ch; overflow-wrap: anywhere; }
.reasons div + div { color: var(--muted); }
.right-alert { color: var(--good); white-space: nowrap; } .wrong-alert { color: var(--bad); white-space: nowrap; }
.bars td, .bars th { padding-block: 4px; border: 0; }
.bars .name { width: 1%; white-space: nowrap; } .bars .long { width: 50%; white-space: normal; }
.bars .number { width: 1%; }
.bar { display: flex; gap: 1px; height: 9px; }
.hits { background: var(--good); } .false { border: 1.5px solid var(--bad); }
.legend i { width: 14px; height: 9px; }
pre { margin: 14px 0 0; padding: 14px 16px; border: 1px solid var(--line); border-radius: 4px; overflow-x: auto; font-size: 13px; line-height: 1.5; }
tr.chosen { font-weight: 600; } tr.chosen td:first-child::before { content: '→ '; }
.wide { overflow-x: auto; }
.finding p:first-child { font-weight: 600; margin-top: 16px; }
footer { margin-top: 56px; padding-top: 14px; border-top: 1px solid var(--line); color: var(--muted); font-size: 13px; display: flex; flex-wrap: wrap; gap: 2px 28px; overflow-wrap: anywhere; }

@media (max-width: 700px) {
  body { padding: 28px 18px 32px; }
  h1 { font-size: 26px; }
  .second text { display: none; }
  .plot .alert, .plot .false-alert { stroke-width: 5; } .plot .hole { stroke-width: 2.5; }
  .scores { padding-inline: 84px 12px; } .scores .right { display: none; }
  .events thead { position: absolute; clip-path: inset(50%); }
  .events, .events tbody, .events td, .events caption { display: block; }
  .events tr { display: flex; flex-wrap: wrap; gap: 0 16px; padding: 9px 0; border-bottom: 1px solid var(--line); }
  .events td { border: 0; padding: 0; max-width: none; }
  .events td[data-label]::before { content: attr(data-label) ' '; color: var(--muted); }
  .events .event, .events .reasons { width: 100%; } .event div { display: inline; } .event div + div { margin-left: 12px; }
}
@media print {
  :root { color-scheme: light; }
  body { padding: 0; max-width: none; font-size: 12px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  h1 { font-size: 24px; }
  section, .columns, .figures { margin-top: 28px; }
  .figures { grid-template-columns: repeat(5, 1fr); gap: 16px; }
  .figures .value { font-size: 20px; }
  .columns { grid-template-columns: repeat(3, 1fr); gap: 28px; }
  table { font-size: 11px; }
  th, caption, .note, .legend, .figures dt, .figures .aside { font-size: 11px; }
  th, td { padding: 4px 12px 4px 0; }
  tr { break-inside: avoid; }
  thead { display: table-header-group; }
  h2, caption { break-after: avoid; }
}
`
