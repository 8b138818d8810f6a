import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Entry, refusedText } from '../../../src/batch/entry.js';
import { LIST_LIMITS, ListParser, parseList } from '../../../src/batch/list.js';

const parsed = (text: string | Uint8Array) => parseList(Buffer.from(text as string), 'list.txt');

/** The sources of what are entries, the texts of what are errors. */
const told = (text: string | Uint8Array): string[] =>
  parsed(text).map((each) => ('error' in each ? `! ${refusedText(each)}` : each.source));

describe('a list', () => {
  it('has a source on each line; blank lines and comments say nothing', () => {
    expect(parsed('a.torrent\n\n  \t\n# b.torrent\n  # c.torrent\n dir/d #1.torrent \n')).toEqual([
      { place: { file: 'list.txt', line: 1 }, source: 'a.torrent' },
      { place: { file: 'list.txt', line: 6 }, source: 'dir/d #1.torrent' },
    ]);
  });

  it.each([
    ['with CRLF', 'a\r\nb\r\n'],
    ['with a byte order mark', '\ufeffa\nb\n'],
    ['with no end of the last line', 'a\nb'],
  ])('is read %s', (_, text) => {
    expect(told(text)).toEqual(['a', 'b']);
  });

  it('names magnet links, URLs and infohashes as sources', () => {
    const sources = ['magnet:?xt=urn:btih:0123', 'https://example.org/a.torrent', 'a'.repeat(40)];
    expect(told(sources.join('\n'))).toEqual(sources);
  });

  it('has JSON lines with the wishes of an item', () => {
    const line = { source: ' a b.torrent', id: '17', out: 'films', select: '1,3-5,7-', max_down: '10MiB' };
    expect(parsed(`# one\n${JSON.stringify(line)}\n`)).toEqual([
      {
        place: { file: 'list.txt', line: 2 },
        source: ' a b.torrent',
        id: '17',
        out: 'films',
        select: [
          [1, 1],
          [3, 5],
          [7, Number.POSITIVE_INFINITY],
        ],
        maxDown: 10 * 2 ** 20,
      },
    ]);
  });

  it.each([
    [500_000, 500_000],
    ['8Mbit', 1_000_000],
    ['none', undefined],
    ['0', undefined],
    [0, undefined],
  ])('takes %j as a rate', (max_down, maxDown) => {
    const [entry] = parsed(JSON.stringify({ source: 'a', max_down }));
    expect((entry as Entry).maxDown).toBe(maxDown);
  });

  it.each([
    ['{"source":"a"', 'expected a JSON object on one line: '],
    ['{}', '`source`: expected a path, found nothing'],
    ['{"source":3}', '`source`: expected a string, found 3'],
    ['{"source":""}', '`source`: expected text, found none'],
    ['{"source":"a","id":7}', '`id`: expected a string, found 7'],
    ['{"source":"a","id":null}', '`id`: expected a string, found null'],
    ['{"source":"a","out":["b"]}', '`out`: expected a string, found ["b"]'],
    ['{"source":"a","select":"0"}', '`select`: expected numbers of files such as 1,3-5, got "0"'],
    ['{"source":"a","max_down":-1}', '`max_down`: expected bytes per second such as 500000 or "10MiB", found -1'],
    ['{"source":"a","max_down":1.5}', '`max_down`: expected bytes per second such as 500000 or "10MiB", found 1.5'],
    ['{"source":"a","max_down":1e999}', '`max_down`: expected bytes per second such as 500000 or "10MiB", found null'],
    ['{"source":"a","max_down":"fast"}', '`max_down`: expected a size such as 256MiB, 1G or 500000, got "fast"'],
    ['{"source":"a","sauce":1}', 'expected no keys but source, id, out, select, max_down, found "sauce"'],
    ['{"source":"a","__proto__":{}}', 'expected no keys but source, id, out, select, max_down, found "__proto__"'],
    ['{"source":"a\\u0000b"}', '`source`: expected a text without NUL'],
    [`{"source":"a","id":"${'x'.repeat(LIST_LIMITS.id + 1)}"}`, '`id`: expected at most 256 characters, found 257'],
    ['x'.repeat(LIST_LIMITS.source + 1), 'a source: expected at most 16384 characters, found 16385'],
    ['  dir=/tmp', 'expected a torrent, found an indented option'],
  ])('refuses %j with its line, and goes on', (line, expected) => {
    const [good, bad, next] = parsed(`first\n${line}\nlast\n`);
    expect(good).toMatchObject({ source: 'first' });
    expect(bad).toMatchObject({ place: { file: 'list.txt', line: 2 }, error: { code: 'INVALID_TORRENT' } });
    expect(told(`first\n${line}\nlast\n`)[1]).toMatch(`! list.txt:2: ${expected}`);
    expect(next).toEqual({ place: { file: 'list.txt', line: 3 }, source: 'last' });
  });

  it('refuses a line that is no UTF-8 or has a NUL byte, and goes on', () => {
    const bytes = Buffer.concat([
      Buffer.from('first\n'),
      Buffer.from([0x61, 0xff, 0x0a, 0x61, 0x00, 0x62, 0x0a]),
      Buffer.from('last'),
    ]);
    expect(told(bytes)).toEqual([
      'first',
      '! list.txt:2: expected text in UTF-8, found other bytes',
      '! list.txt:3: expected text in UTF-8, found a NUL byte',
      'last',
    ]);
  });

  it('that begins with NUL bytes is no list: one error for all of it', () => {
    const utf16 = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('a\nb\nc\n', 'utf16le')]);
    expect(told(utf16)).toEqual(['! list.txt:1: expected text in UTF-8, found a NUL byte; it looks like UTF-16']);
    const parser = new ListParser('x');
    expect(parser.push(Buffer.from('a\0\nb\n'))).toHaveLength(1);
    expect(parser.isOver).toBe(true);
    expect([...parser.push(Buffer.from('c\n')), ...parser.end()]).toEqual([]);
  });

  it('refuses a line without an end and keeps no more of it than is shown', () => {
    const parser = new ListParser('x');
    const chunk = Buffer.alloc(100_000, 'y');
    for (let i = 0; i < 100; i++) expect(parser.push(chunk)).toEqual([]);
    const [bad, good] = parser.push(Buffer.from('\nnext\n'));
    expect(bad).toMatchObject({ place: { line: 1 }, source: expect.stringMatching(/^y{199}…$/) });
    expect((bad as { error: Error }).error.message).toBe('expected a line of at most 262144 bytes, found more');
    expect(good).toMatchObject({ place: { line: 2 }, source: 'next' });
  });

  it('takes a line as long as the limit', () => {
    const comment = `#${'x'.repeat(LIST_LIMITS.line - 1)}`;
    expect(told(`${comment}\na`)).toEqual(['a']);
    expect(told(`${comment}x\na`)).toHaveLength(2);
  });

  it('says the same in whatever portions its bytes come, and never throws', () => {
    const pieces = fc.constantFrom('a', '{"source":"b"}', '{', '#', ' ', '\n', '\r\n', '\0', 'é', '\ufeff', '\xff');
    const bytes = fc
      .tuple(fc.array(pieces, { maxLength: 40 }), fc.uint8Array({ maxLength: 8 }))
      .map(([texts, tail]) => Buffer.concat([Buffer.from(texts.join('')), tail]));
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(80)), (all, cuts) => {
        const parser = new ListParser('list.txt');
        const points = [0, ...cuts.map((cut) => Math.min(cut, all.length)).sort((a, b) => a - b), all.length];
        const scratch = Buffer.alloc(all.length);
        const found = points.slice(1).flatMap((end, i) => {
          // The parser must have copied what it keeps.
          const length = all.copy(scratch, 0, points[i], end);
          const entries = parser.push(scratch.subarray(0, length));
          scratch.fill(0x7a);
          return entries;
        });
        expect([...found, ...parser.end()]).toEqual(parsed(all));
      }),
    );
  });
});
