import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../../src/batch/entry.js';
import { entryLine, failedList } from '../../../src/batch/failed-list.js';
import { LIST_LIMITS, parseList } from '../../../src/batch/list.js';

const place = { file: 'list.txt', line: 3 };

describe('the list of what failed', () => {
  it('has the reason above each source, and a JSON line where there were wishes', () => {
    const text = failedList([
      { place, source: 'a.torrent', entry: { place, source: 'a.torrent' }, reason: 'STALLED: no byte for 5 m' },
      {
        place: { file: 'b.torrent' },
        source: 'b.torrent',
        entry: {
          place,
          source: 'b.torrent',
          id: 'b',
          out: 'o',
          select: [
            [1, 1],
            [3, 5],
          ],
          maxDown: 1000,
        },
        reason: 'UNAVAILABLE: no peer',
      },
    ]);
    expect(text).toBe(
      [
        '# list.txt:3: STALLED: no byte for 5 m',
        'a.torrent',
        '# b.torrent: UNAVAILABLE: no peer',
        '{"source":"b.torrent","id":"b","out":"o","select":"1,3-5","max_down":1000}',
        '',
      ].join('\n'),
    );
  });

  it('keeps a line that is none as a comment, in one line whatever it holds', () => {
    const text = failedList([{ place, source: '{"a\nb\u2028', reason: 'no\nJSON' }]);
    expect(text).toBe('# list.txt:3: no\\x0aJSON\n# {"a\\x0ab\\u2028\n');
  });

  it.each(['# a', '{a}.torrent', ' a', 'a ', 'a\nb', 'a\rb', '\ufeffa', 'a\u202eb'])('quotes %j', (source) => {
    const line = entryLine({ place, source });
    expect(line).toMatch(/^\{"source":"[ -~]*"\}$/);
    expect(parseList(Buffer.from(line), 'list.txt')).toEqual([{ place: { ...place, line: 1 }, source }]);
  });

  it('is read back as the same items, whatever they are', () => {
    const text = (most: number) =>
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: most }).filter((each) => !each.includes('\0'));
    const range = fc
      .tuple(fc.integer({ min: 1, max: 9999 }), fc.oneof(fc.nat(9999), fc.constant(Number.POSITIVE_INFINITY)))
      .map(([first, more]): readonly [number, number] => [first, first + more]);
    const optional = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined });
    const entry = fc
      .record({
        source: text(40),
        id: optional(text(20)),
        out: optional(text(20)),
        select: optional(fc.array(range, { minLength: 1, maxLength: 5 })),
        maxDown: optional(fc.integer({ min: 1 })),
      })
      .map(
        (fields) => ({ place, ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value)) }) as Entry,
      );
    fc.assert(
      fc.property(fc.array(entry), text(60), (entries, reason) => {
        const failed = entries.map((each) => ({ place, source: each.source, entry: each, reason }));
        const again = parseList(Buffer.from(failedList(failed)), 'list.txt');
        expect(again.map((each) => ({ ...each, place }))).toEqual(entries);
      }),
    );
  });

  it('has no line that is too long for a list', () => {
    const worst = '\u{e0041}'.repeat(LIST_LIMITS.source / 2);
    const entry: Entry = {
      place,
      source: worst,
      id: worst.slice(0, LIST_LIMITS.id),
      out: worst.slice(0, LIST_LIMITS.out),
      select: Array.from({ length: LIST_LIMITS.select / 2 }, () => [1, 1] as const),
    };
    expect(parseList(Buffer.from(entryLine(entry)), 'list.txt')).toMatchObject([{ source: worst, id: entry.id }]);
  });
});
