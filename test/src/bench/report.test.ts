import { describe, expect, it } from 'vitest';
import { htmlReport } from '../../../src/bench/report.js';
import { barChart, escapeHtml, tickStep } from '../../../src/bench/report-chart.js';
import { contender, sampleComparison } from '../../helpers/bench-comparison.js';

const EVIL = `<script>alert("1")</script>&'`;
const ESCAPED = '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;';

describe('htmlReport', () => {
  it('needs nothing else: no script, and no address but that of the SVG namespace', () => {
    const html = htmlReport(sampleComparison([contender('spate', [1, 2]), contender('other', [3])]));
    expect(html).not.toMatch(/<script|<link|<img|\bsrc=|\bhref=|@import|url\(/i);
    expect(html.match(/https?:\/\/[^"']*/g)).toBeNull();
    expect(html).toContain('prefers-color-scheme: dark');
  });

  it('has a bar chart of throughput and one of processor time, with a mark for least, median, most and each run', () => {
    const html = htmlReport(sampleComparison([contender('spate', [1, 2, 4]), contender('other', [2])]));
    const charts = html.match(/<svg.*?<\/svg>/gs)!;
    expect(charts).toHaveLength(2);
    expect(charts[0]).toContain('<title>spate: 512 (256 to 1024)</title>');
    expect(charts[1]).toContain('<title>spate: 2.00 (1.00 to 4.00)</title>');
    for (const chart of charts) {
      expect(chart.match(/class="bar"/g)).toHaveLength(2);
      expect(chart.match(/class="median"/g)).toHaveLength(2);
      expect(chart.match(/class="spread"/g)).toHaveLength(2);
      expect(chart.match(/<circle/g)).toHaveLength(4);
    }
  });

  it('tells the table, the machine, versions, commands, void runs and who is missing', () => {
    const other = { ...contender('other', [3]), voids: [{ round: 2, reason: 'byte 7 is wrong' }] };
    const html = htmlReport(sampleComparison([contender('spate', [1]), other], [{ name: 'floor', reason: 'no gcc' }]));
    expect(html).toContain('<td>other</td><td>341</td><td>3.00</td>');
    for (const text of ['A Processor, 2 cores', 'v20.19.0', 'other 1.0', 'other {torrent}', '2026-01-02 03:04 UTC']) {
      expect(html).toContain(text);
    }
    expect(html).toContain('Round 2 is void: byte 7 is wrong');
    expect(html).toContain('did not take part: no gcc');
  });

  it('escapes every text it is given', () => {
    const evil = { ...contender(EVIL, [1]), version: EVIL, command: EVIL, voids: [{ round: 2, reason: EVIL }] };
    const sample = sampleComparison([evil], [{ name: EVIL, reason: EVIL }]);
    const html = htmlReport({ ...sample, seeder: EVIL, storage: EVIL, machine: { ...sample.machine, cpu: EVIL } });
    expect(html).not.toContain('<script');
    expect(html.split(ESCAPED).length).toBeGreaterThan(10);
  });

  it('is a whole page when no run counts', () => {
    const html = htmlReport(sampleComparison([{ ...contender('spate', []), voids: [{ round: 1, reason: 'gone' }] }]));
    expect(html).toContain('no figure');
    expect(html).not.toMatch(/NaN|undefined|Infinity/);
    expect(html.trimEnd().endsWith('</html>')).toBe(true);
  });
});

describe('barChart', () => {
  it('cuts long names and keeps them in what is read out', () => {
    const name = 'a-client-with-a-very-long-name';
    const svg = barChart('title', [{ name, values: [1], isOurs: true }]);
    expect(svg).toContain('>a-client-with-a-…</text>');
    expect(svg).toContain(`<title>${name}: `);
  });

  it('draws zero without a number that is none', () => {
    expect(barChart('title', [{ name: 'a', values: [0], isOurs: false }])).not.toMatch(/NaN|Infinity/);
  });
});

describe('tickStep', () => {
  it.each([
    [0, 1],
    [5, 1],
    [5.1, 2],
    [10, 2],
    [24, 5],
    [980, 200],
    [0.05, 0.01],
  ])('cuts %f into at most five steps of %f', (most, step) => {
    expect(tickStep(most)).toBeCloseTo(step, 10);
  });
});

describe('escapeHtml', () => {
  it('writes out what has a meaning', () => {
    expect(escapeHtml(EVIL)).toBe(ESCAPED);
  });
});
