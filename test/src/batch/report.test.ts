import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ReportFormat, type Row, renderReport, reportFormat, totalsOf } from '../../../src/batch/report.js';

const DONE: Row = {
  id: null,
  source: 'a.torrent',
  place: 'list.txt:1',
  infohash: 'ab'.repeat(20),
  name: 'a.iso',
  path: '/downloads/a.iso',
  state: 'done',
  length: 4_194_304,
  have: 4_194_304,
  downloaded: 4_194_304,
  uploaded: 100,
  wasted: 16_384,
  queueSeconds: 0.5,
  metadataSeconds: 0,
  firstByteSeconds: 0.12345,
  seconds: 2,
  downRate: 2_097_152.4,
  attempts: 1,
  error: null,
};
const FAILED: Row = {
  ...DONE,
  id: 'b',
  source: 'b.torrent',
  place: 'list.txt:2',
  state: 'failed',
  have: 0,
  downloaded: 0,
  firstByteSeconds: null,
  seconds: 60,
  downRate: null,
  attempts: 3,
  error: { code: 'UNAVAILABLE', message: 'no peer was ever reached' },
};
const INVALID: Row = {
  ...FAILED,
  id: null,
  source: 'c.torrent',
  place: 'list.txt:3',
  infohash: null,
  name: null,
  path: null,
  state: 'invalid',
  length: 0,
  queueSeconds: null,
  metadataSeconds: null,
  seconds: null,
  attempts: 0,
  error: { code: 'INVALID_TORRENT', message: 'c.torrent: not a torrent' },
};

/** RFC 4180, by the book: the records of a text and their fields. */
function readCsv(text: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  for (let at = 0; at < text.length; ) {
    const match = /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/.exec(text.slice(at));
    if (match === null) throw new Error(`no CSV at ${at}`);
    record.push(match[1]?.replaceAll('""', '"') ?? match[2]!);
    at += match[0].length;
    if (match[3] === ',') continue;
    records.push(record);
    record = [];
  }
  return records;
}

describe('the format of a report', () => {
  it.each([
    ['a.json', 'json'],
    ['dir/a.b.CSV', 'csv'],
    ['a.md', 'md'],
  ])('of %s is %s', (path, format) => {
    expect(reportFormat(path)).toBe(format);
  });

  it.each(['a', 'json', 'a.txt', 'a.json.gz', ''])('of %j is unknown', (path) => {
    expect(() => reportFormat(path)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

describe('totals', () => {
  it('count states, add bytes and rank times', () => {
    const duplicate: Row = { ...INVALID, state: 'duplicate', length: 4_194_304, have: 4_194_304, error: null };
    expect(totalsOf([DONE, FAILED, INVALID, duplicate], 4)).toEqual({
      items: 4,
      states: { done: 1, failed: 1, invalid: 1, duplicate: 1 },
      // The duplicate's bytes are those of another item.
      length: 8_388_608,
      have: 4_194_304,
      downloaded: 4_194_304,
      uploaded: 400,
      wasted: 65_536,
      wallSeconds: 4,
      goodput: 1_048_576,
      times: {
        queueSeconds: { p50: 0.5, p95: 0.5 },
        metadataSeconds: { p50: 0, p95: 0 },
        firstByteSeconds: { p50: 0.123, p95: 0.123 },
        seconds: { p50: 31, p95: 57.1 },
      },
    });
  });

  it('of nothing are nothing', () => {
    expect(totalsOf([], 0)).toMatchObject({ items: 0, states: {}, goodput: 0, times: { seconds: null } });
  });
});

describe('a JSON report', () => {
  it('has the totals, and each row on a line of its own', () => {
    const text = renderReport('json', [DONE, FAILED], 4);
    const { v, totals, items } = JSON.parse(text);
    expect(v).toBe(1);
    expect(totals).toEqual(totalsOf([DONE, FAILED], 4));
    expect(items).toEqual([{ ...DONE, firstByteSeconds: 0.123, downRate: 2_097_152 }, FAILED]);
    expect(text.split('\n')).toHaveLength(5);
  });

  it('of nothing is one', () => {
    expect(JSON.parse(renderReport('json', [], 0)).items).toEqual([]);
  });
});

describe('a CSV report', () => {
  it('has a header and one record for each row', () => {
    const [head, ...records] = readCsv(renderReport('csv', [DONE, INVALID], 4));
    expect(head).toEqual([...Object.keys(DONE).filter((key) => key !== 'error'), ...['errorCode', 'errorMessage']]);
    expect(records).toEqual([
      [
        ...['', 'a.torrent', 'list.txt:1', 'ab'.repeat(20), 'a.iso', '/downloads/a.iso', 'done'],
        ...['4194304', '4194304', '4194304', '100', '16384', '0.5', '0', '0.123', '2', '2097152', '1', '', ''],
      ],
      [
        ...['', 'c.torrent', 'list.txt:3', '', '', '', 'invalid'],
        ...['0', '0', '0', '100', '16384', '', '', '', '', '', '0', 'INVALID_TORRENT', 'c.torrent: not a torrent'],
      ],
    ]);
  });

  it.each([
    ['a, "b"', 'a, "b"'],
    ['=cmd|calc!A1', "'=cmd|calc!A1"],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    [' =1', "' =1"],
    ['\t=1', '\\x09=1'],
    ['a\r\nb', 'a\\x0d\\x0ab'],
  ])('writes %j so that no spreadsheet runs it and no line breaks', (name, expected) => {
    const text = renderReport('csv', [{ ...DONE, name }], 1);
    expect(readCsv(text)[1]![4]).toBe(expected);
    expect(text.split('\r\n')).toHaveLength(3);
  });
});

describe('a Markdown report', () => {
  it('has the totals, the times and a table of the items', () => {
    expect(renderReport('md', [DONE, FAILED, INVALID], 4)).toBe(
      [
        '# Batch',
        '',
        '|  |  |',
        '| --- | --- |',
        '| items | 3: 1 done, 1 failed, 1 invalid |',
        '| on disk | 4.0/8.0 MiB |',
        '| received | 4.0 MiB in 4.0 s (1.0 MiB/s) |',
        '| sent | 300 B |',
        '| wasted | 48.0 KiB |',
        '',
        '| time | p50 | p95 |',
        '| --- | --- | --- |',
        '| in the queue | 0.50 s | 0.50 s |',
        '| to metadata | 0.00 s | 0.00 s |',
        '| to the first byte | 0.12 s | 0.12 s |',
        '| to the end | 31.0 s | 57.1 s |',
        '',
        '| item | state | size | time | rate | attempts | place | error |',
        '| --- | --- | --- | --- | --- | --- | --- | --- |',
        '| a.iso | done | 4.0 MiB | 2.0 s | 2.0 MiB/s | 1 | list.txt:1 |  |',
        '| b | failed | 0/4.0 MiB | 60.0 s |  | 3 | list.txt:2 | UNAVAILABLE: no peer was ever reached |',
        '| c.torrent | invalid |  |  |  | 0 | list.txt:3 | INVALID\\_TORRENT: c.torrent: not a torrent |',
        '',
      ].join('\n'),
    );
  });

  it.each([
    ['a | b', 'a \\| b'],
    ['a\nb', 'a\\\\x0ab'],
    ['<script>&amp;', '\\<script\\>\\&amp;'],
    ['[x](y)', '\\[x\\](y)'],
    ['**`b`**', '\\*\\*\\`b\\`\\*\\*'],
    ['@all ~~x~~ $y$', '\\@all \\~\\~x\\~\\~ \\$y\\$'],
    ['http://x www.y', 'http\\://x www\\.y'],
  ])('shows %j as it stands', (name, expected) => {
    expect(renderReport('md', [{ ...DONE, name }], 1)).toContain(`\n| ${expected} | done |`);
  });
});

describe('a report of any format', () => {
  const hostile = fc.string({ unit: 'binary', maxLength: 60 });
  const rows = fc.array(
    fc.record({ source: hostile, name: hostile, place: hostile, message: hostile }).map(
      ({ source, name, place, message }): Row => ({
        ...DONE,
        ...{ source, name, place },
        error: { code: 'INTERNAL', message },
      }),
    ),
    { maxLength: 5 },
  );

  it('has nothing that moves a cursor or reorders what is read, and as many lines as rows', () => {
    const lines: Record<ReportFormat, number> = { json: 3, csv: 2, md: 20 };
    fc.assert(
      fc.property(rows, fc.constantFrom<ReportFormat>('json', 'csv', 'md'), (each, format) => {
        const text = renderReport(format, each, 1);
        expect(text.replaceAll(/\r?\n/g, '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
        expect(text.split('\n')).toHaveLength(lines[format] + each.length);
      }),
    );
  });

  it('has every text back from JSON, and as many fields in each record of CSV', () => {
    fc.assert(
      fc.property(rows, (each) => {
        const { items } = JSON.parse(renderReport('json', each, 1));
        expect(items.map(({ name }: Row) => name)).toEqual(each.map(({ name }) => name));
        for (const record of readCsv(renderReport('csv', each, 1))) expect(record).toHaveLength(20);
      }),
    );
  });

  it('is bounded however long a text is', () => {
    const long = 'x'.repeat(1_000_000);
    const row = { ...DONE, name: long, source: long, error: { code: 'INTERNAL', message: long } };
    for (const format of ['json', 'csv', 'md'] as const) {
      expect(renderReport(format, [row], 1).length).toBeLessThan(100_000);
    }
  });
});
