/**
 * A comparison as one HTML file that needs nothing else: no script, no font, no picture from anywhere. Light or dark as the reader
 * has it, and fit to print. Pure.
 */
import type { Spread } from '../statistics.js';
import { type Comparison, type Summary, summarise } from './comparison.js';
import { comparisonTable, counted, courseText, figure, machineText, TABLE_NOTE, UNKNOWN } from './comparison-table.js';
import { barChart, escapeHtml } from './report-chart.js';

const MIB = 1_048_576;
const GIB = 2 ** 30;

const STYLE = `
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --text: #16202c; --soft: #5c6978; --line: #e3e7ec; --ours: #0b7a75; --other: #9aa7b6;
  --mark: #16202c; --tint: #e6f4f2; }
@media (prefers-color-scheme: dark) { :root {
  --page: #10151b; --card: #171e26; --text: #e6ebf1; --soft: #93a1b0; --line: #2a343f; --ours: #2fb5a9; --other: #5b6b7c;
  --mark: #f2f5f8; --tint: #14312f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 44px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -.02em; margin: 0 0 6px; }
h2 { font-size: 16px; margin: 0; }
p { margin: 0; }
.soft, header p, figcaption span { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 20px; margin: 26px 0 20px; }
.tile { padding: 16px 22px; } .tile span { display: block; font-size: 13px; color: var(--soft); }
.tile b { font-size: 30px; line-height: 1.25; letter-spacing: -.02em; color: var(--ours); font-variant-numeric: tabular-nums; }
.tile small { color: var(--soft); font-size: 14px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 20px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 22px; margin: 0 0 20px; }
.charts .card, .tiles .card { margin: 0; }
.charts { margin-bottom: 20px; }
figcaption { display: flex; justify-content: space-between; align-items: baseline; gap: 12px; margin-bottom: 14px; }
figcaption b { font-size: 16px; }
figcaption span { font-size: 13px; }
svg { display: block; width: 100%; height: auto; overflow: visible; font-size: 13px; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); } svg .base { stroke: var(--soft); }
svg .tick { fill: var(--soft); font-size: 11.5px; text-anchor: middle; }
svg .name { fill: var(--text); text-anchor: end; } svg .ours .name, svg .figure { font-weight: 600; }
svg .figure { fill: var(--text); } svg .none { fill: var(--soft); font-style: italic; }
svg .bar { fill: var(--other); opacity: .85; } svg .ours .bar { fill: var(--ours); opacity: 1; }
svg .spread { stroke: var(--mark); stroke-width: 1.2; fill: none; opacity: .75; }
svg .median { stroke: var(--mark); stroke-width: 2.4; stroke-linecap: round; }
svg circle { fill: var(--card); stroke: var(--mark); stroke-width: 1; opacity: .9; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 9px 14px; text-align: right; border-bottom: 1px solid var(--line); }
th { font-size: 13px; font-weight: 600; color: var(--soft); }
th:first-child, td:first-child { text-align: left; font-weight: 600; }
tbody tr:first-child { background: var(--tint); } tbody tr:first-child td:first-child { color: var(--ours); }
tbody tr:last-child td { border-bottom: 0; }
td small { color: var(--soft); font-size: 12.5px; margin-left: 4px; }
.note { font-size: 13px; color: var(--soft); margin-top: 12px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 10px 20px; margin: 14px 0 0; }
dt { font-weight: 600; } dd { margin: 0; min-width: 0; }
code { display: block; margin-top: 3px; font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; color: var(--soft);
  overflow-wrap: anywhere; }
@media (max-width: 560px) { main { padding: 28px 14px 40px; } dl { grid-template-columns: 1fr; gap: 2px 0; } dd { margin-bottom: 10px; } }
@media print { body { background: none; } .card { break-inside: avoid; } }
`;

export function htmlReport(comparison: Comparison): string {
  const { contenders, size } = comparison;
  const ours = contenders[0]?.name ?? 'spate';
  const bars = (valuesOf: (run: (typeof contenders)[number]['runs'][number]) => number | null) =>
    contenders.map(({ name, runs }, i) => ({
      name,
      values: runs.map(valuesOf).filter((value) => value !== null),
      isOurs: i === 0,
    }));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(ours)} compared</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<header>
<h1>${escapeHtml(ours)} compared</h1>
<p>${escapeHtml(courseText(comparison))}</p>
<p>${escapeHtml(comparison.startedAt.slice(0, 16).replace('T', ' '))} UTC</p>
</header>
<section class="tiles">
${tiles(summarise(comparison))}
</section>
<section class="charts">
${chart(
  'Throughput',
  'MiB/s, more is better',
  bars(({ seconds }) => size / seconds / MIB),
)}
${chart(
  'Processor time',
  'CPU s/GiB, less is better',
  bars(({ cpuSeconds }) => cpuSeconds && (cpuSeconds * GIB) / size),
)}
</section>
${tableCard(comparison)}
${contendersCard(comparison)}
</main>
</body>
</html>
`;
}

/** Ours in four figures. */
function tiles([ours]: readonly Summary[]): string {
  if (ours === undefined) return '';
  const { bytesPerSecond, cpuSecondsPerGib, peakRssBytes, seconds } = ours;
  const facts: [string, string, Spread | null, number][] = [
    ['Throughput', 'MiB/s', bytesPerSecond, MIB],
    ['Processor time', 's/GiB', cpuSecondsPerGib, 1],
    ['Peak memory', 'MiB', peakRssBytes, MIB],
    ['Start to exit', 's', seconds, 1],
  ];
  return facts
    .map(([what, unit, spread, scale]) => {
      const value = spread === null ? UNKNOWN : figure(spread.median / scale);
      return `<div class="card tile"><span>${what}</span><b>${value}</b> <small>${unit}</small></div>`;
    })
    .join('\n');
}

function chart(title: string, unit: string, bars: Parameters<typeof barChart>[1]): string {
  return `<figure class="card">
<figcaption><b>${title}</b><span>${unit}</span></figcaption>
${barChart(`${title}, ${unit}`, bars)}
</figure>`;
}

function tableCard(comparison: Comparison): string {
  const { head, rows } = comparisonTable(comparison);
  const cells = (row: readonly string[]): string => row.map((cell) => `<td>${soften(escapeHtml(cell))}</td>`).join('');
  return `<section class="card">
<div class="scroll">
<table>
<thead><tr>${head.map((cell) => `<th scope="col">${escapeHtml(cell)}</th>`).join('')}</tr></thead>
<tbody>
${rows.map((row) => `<tr>${cells(row)}</tr>`).join('\n')}
</tbody>
</table>
</div>
<p class="note">${escapeHtml(TABLE_NOTE)}</p>
</section>`;
}

/** What is in parentheses is smaller. */
const soften = (cell: string): string => cell.replace(/\((.*)\)$/, '<small>($1)</small>');

function contendersCard(comparison: Comparison): string {
  const { contenders, missing } = comparison;
  const took = contenders.map(({ name, version, command, voids }) => {
    const void_ = voids.map(
      ({ round, reason }) => `<div class="soft">Round ${round} is void: ${escapeHtml(reason)}</div>`,
    );
    return `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(version)}<code>${escapeHtml(command)}</code>${void_.join('')}</dd>`;
  });
  const absent = missing.map(
    ({ name, reason }) => `<dt>${escapeHtml(name)}</dt><dd class="soft">did not take part: ${escapeHtml(reason)}</dd>`,
  );
  return `<section class="card">
<h2>What was run, on what</h2>
<dl>
<dt>machine</dt><dd>${escapeHtml(machineText(comparison))}</dd>
${[...took, ...absent].join('\n')}
</dl>
<p class="note">${counted(contenders.length, 'client')}, one at a time. A dot is a run, a bar ends at the median.</p>
</section>`;
}
