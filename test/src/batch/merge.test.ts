import { rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { check } from '../../../src/batch/check.js';
import { type Checked, type Entry, isRefused } from '../../../src/batch/entry.js';
import { duplicateText, isInShard, Merge, parseShard } from '../../../src/batch/merge.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';
import { oddTorrent } from '../../helpers/odd-torrent.js';
import { smallTorrent } from '../../helpers/small-torrent.js';

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

  it('refuses what lies in the folder of another item when their files meet, and only then', async () => {
    const folder = await temporaryFolder();
    const read = async (name: string, bytes: Buffer, out: string): Promise<Checked> => {
      const source = join(folder, `${name}.torrent`);
      await writeFile(source, bytes);
      const found = check({ place: { file: 'list.txt', line: ++line }, source, out: join(folder, out) });
      if (isRefused(found)) throw found.error;
      return found;
    };
    const outer = await read('outer', oddTorrent([{ path: ['y'], length: 9 }], { name: 'dir' }).bytes, 'nest');
    const same = await read('same', smallTorrent(9, 16_384, { name: 'y' }).bytes, 'nest/dir');
    const beside = await read('beside', smallTorrent(9, 16_384, { name: 'z' }).bytes, 'nest/dir');
    const merge = new Merge('out');
    merge.take(outer);
    expect(merge.take(same)).toMatchObject({
      kind: 'refused',
      refused: {
        error: {
          message:
            `${same.entry.source}: y would be written where the torrent of list.txt:${outer.entry.place.line} is: ` +
            `${join(folder, 'nest/dir/y')}; give one of them another folder (\`out\`)`,
        },
      },
    });
    expect(merge.take(beside).kind).toBe('item');
    // Nobody can say any more which files are its own.
    await rm(outer.entry.source);
    const late = await read('late', smallTorrent(9, 16_384, { name: 'late' }).bytes, 'nest/dir');
    expect(merge.take(late).kind).toBe('refused');
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
