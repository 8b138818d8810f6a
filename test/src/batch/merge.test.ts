import { resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Checked, Entry } from '../../../src/batch/entry.js';
import { duplicateText, isInShard, Merge, parseShard } from '../../../src/batch/merge.js';

let line = 0;
/** An item of the next line. */
function item(infohash: string, name: string, wishes: Partial<Entry> = {}): Checked {
  const entry = { place: { file: 'list.txt', line: ++line }, source: `${name}.torrent`, ...wishes };
  return { entry, infohash: infohash.padEnd(40, '0'), name, length: 1, pieceLength: 16_384 };
}

describe('merging', () => {
  it('lets the first of a torrent count', () => {
    const merge = new Merge('out');
    const [first, other, again] = [item('a', 'x'), item('b', 'y'), item('a', 'x', { out: 'elsewhere' })];
    expect(merge.take(first)).toEqual({ kind: 'item', item: first });
    expect(merge.take(other)).toEqual({ kind: 'item', item: other });
    expect(merge.take(again)).toEqual({ kind: 'duplicate', item: again, of: first.entry.place });
    expect(duplicateText(again, first.entry.place)).toMatch(
      /^list\.txt:\d+: x\.torrent is left out: list\.txt:\d+ is the same torrent \(a0{39}\)$/,
    );
  });

  it('refuses what would be written where another item is, with both places, whatever the case', () => {
    const merge = new Merge('out');
    const [first, second] = [item('a', 'Film'), item('b', 'film', { out: './x/../out' })];
    merge.take(first);
    const merged = merge.take(second);
    if (merged.kind !== 'refused') throw new Error(`expected it to be refused, it is ${merged.kind}`);
    expect(merged.refused).toMatchObject({ place: second.entry.place, entry: second.entry });
    expect(merged.refused.error.code).toBe('INVALID_TORRENT');
    expect(merged.refused.error.message).toBe(
      `film.torrent: film would be written where the torrent of list.txt:${first.entry.place.line} is: ` +
        `${resolve('out', 'film')}; give one of them another folder (\`out\`)`,
    );
    expect(merge.take(item('c', 'film', { out: 'out2' })).kind).toBe('item');
  });

  it('leaves out the items of other shards: they write nothing here', () => {
    const merge = new Merge('out', { index: 1, count: 2 });
    expect(merge.take(item('000000000001', 'x')).kind).toBe('elsewhere');
    expect(merge.take(item('000000000002', 'x')).kind).toBe('item');
    expect(merge.take(item('000000000001', 'x')).kind).toBe('elsewhere');
  });
});

describe('a shard', () => {
  it('is one of several', () => {
    expect(parseShard('1/4')).toEqual({ index: 1, count: 4 });
    expect(parseShard(' 4 / 4 ')).toEqual({ index: 4, count: 4 });
  });

  it.each(['', '1', '0/4', '5/4', '1/0', '-1/4', '1/4/2', '1.5/4', '1/99999', 'a/b'])('is not %j', (text) => {
    expect(() => parseShard(text)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(`got "${text}"`) }),
    );
  });

  it('has each infohash in one of them only, and always in the same', () => {
    const infohash = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((each) => Buffer.from(each).toString('hex'));
    fc.assert(
      fc.property(infohash, fc.integer({ min: 1, max: 100 }), (each, count) => {
        const shards = Array.from({ length: count }, (_, i) => ({ index: i + 1, count }));
        expect(shards.filter((shard) => isInShard(each, shard))).toHaveLength(1);
      }),
    );
    expect(isInShard('ffffffffffff0000000000000000000000000000', { index: 4, count: 7 })).toBe(
      Number(0xffff_ffff_ffffn % 7n) === 3,
    );
  });
});
