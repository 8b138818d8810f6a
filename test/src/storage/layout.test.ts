import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunks, fileAt, spans, totalLength, withoutFirst } from '../../../src/storage/layout.js';
import { anyTable, contentOf, cut, lengthOf, table } from '../../helpers/fs-table.js';

describe('spans', () => {
  const files = table(10, 0, 5, { length: 3, pad: true }, 0, 7);

  it('maps a range inside one file to one span', () => {
    expect(spans(files, 2, 4)).toEqual([{ file: 0, position: 2, length: 4 }]);
  });

  it('crosses files and pads, and skips zero-length files', () => {
    expect(spans(files, 8, 12)).toEqual([
      { file: 0, position: 8, length: 2 },
      { file: 2, position: 0, length: 5 },
      { file: 3, position: 0, length: 3 },
      { file: 5, position: 0, length: 2 },
    ]);
  });

  it('starts at the file that holds the byte where zero-length files share its offset', () => {
    expect(spans(table(0, 0, 4, 0, 4), 4, 1)).toEqual([{ file: 4, position: 0, length: 1 }]);
    expect(spans(table(0, 0, 4, 0, 4), 0, 1)).toEqual([{ file: 2, position: 0, length: 1 }]);
  });

  it('is empty for an empty range, the end of the torrent and an empty table included', () => {
    expect(spans(files, 10, 0)).toEqual([]);
    expect(spans(files, 25, 0)).toEqual([]);
    expect(spans([], 0, 0)).toEqual([]);
    expect(spans(table(0), 0, 0)).toEqual([]);
  });

  it.each([
    [-1, 2],
    [0, 26],
    [25, 1],
    [3, -1],
    [Number.NaN, 1],
  ])('refuses %d with %d bytes', (offset, length) => {
    expect(() => spans(files, offset, length)).toThrow(RangeError);
  });

  it('keeps the offsets of the torrent in a slice of a table', () => {
    const slice = files.slice(2, 4);
    expect(spans(slice, 11, 6)).toEqual([
      { file: 0, position: 1, length: 4 },
      { file: 1, position: 0, length: 2 },
    ]);
    expect(() => spans(slice, 9, 2)).toThrow(RangeError);
    expect(() => spans(slice, 17, 2)).toThrow(RangeError);
  });

  it('covers every byte of a range exactly once, in order, for any table', () => {
    fc.assert(
      fc.property(anyTable, fc.nat(), fc.nat(), (files, a, b) => {
        const total = lengthOf(files);
        const offset = a % total;
        const length = b % (total - offset + 1);
        let at = offset;
        for (const span of spans(files, offset, length)) {
          const file = files[span.file]!;
          expect(file.offset + span.position).toBe(at);
          expect(span.length).toBeGreaterThan(0);
          expect(span.position + span.length).toBeLessThanOrEqual(file.length);
          at += span.length;
        }
        expect(at).toBe(offset + length);
      }),
    );
  });
});

describe('fileAt', () => {
  it('agrees with a linear search for every byte of any table', () => {
    fc.assert(
      fc.property(anyTable, (files) => {
        for (let offset = 0; offset < lengthOf(files); offset++) {
          const file = files.findIndex((entry) => offset >= entry.offset && offset < entry.offset + entry.length);
          expect(fileAt(files, offset)).toBe(file);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('chunks', () => {
  it('cuts views at file boundaries', () => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6);
    const [first, second] = chunks(table(4, 4), 1, [bytes.subarray(0, 2), bytes.subarray(2)]);
    expect(first).toEqual({ file: 0, position: 1, length: 3, views: [Uint8Array.of(1, 2), Uint8Array.of(3)] });
    expect(second).toEqual({ file: 1, position: 0, length: 3, views: [Uint8Array.of(4, 5, 6)] });
  });

  it('hands views on as they are when one file takes them all', () => {
    const views = [new Uint8Array(2), new Uint8Array(3)];
    expect(chunks(table(9), 0, views)[0]!.views).toBe(views);
  });

  it('gives each file its own bytes for any table and any views', () => {
    const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });
    fc.assert(
      fc.property(anyTable, fractions, (files, cuts) => {
        const content = contentOf(files);
        const views = cut(content.length, cuts).map(([begin, end]) => content.subarray(begin, end));
        for (const chunk of chunks(files, 0, views)) {
          const file = files[chunk.file]!;
          expect(chunk.position).toBe(0);
          expect(totalLength(chunk.views)).toBe(file.length);
          expect(Buffer.concat(chunk.views)).toEqual(
            Buffer.from(content.subarray(file.offset, file.offset + file.length)),
          );
        }
      }),
    );
  });
});

describe('withoutFirst', () => {
  it('drops whole and partial views at every split point', () => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6);
    const views = [bytes.subarray(0, 1), bytes.subarray(1, 4), bytes.subarray(4)];
    for (let count = 0; count <= 6; count++) {
      const rest = withoutFirst(views, count);
      expect(Buffer.concat(rest)).toEqual(Buffer.from(bytes.subarray(count)));
      expect(rest.every((view) => view.byteLength > 0)).toBe(true);
    }
  });
});
