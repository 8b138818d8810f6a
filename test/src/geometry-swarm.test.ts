// Piece lengths of every kind in real downloads between two sessions of ours.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeMetainfo } from '../../src/protocol/create.js';
import { parseMetainfo } from '../../src/protocol/metainfo.js';
import { startSeeder } from '../../src/swarm/seeder.js';
import { Bitfield } from '../../src/torrent/bitfield.js';
import { Geometry } from '../../src/torrent/geometry.js';
import { Picker } from '../../src/torrent/picker.js';
import { spate } from '../helpers/cli-run.js';
import { atEnd, emptyFolder, openSession } from '../helpers/session-harness.js';
import { smallTorrent } from '../helpers/small-torrent.js';

const MIB = 1_048_576;

/** Downloads what is in a folder. @returns where to */
async function downloaded(torrent: Uint8Array, seeds: string): Promise<string> {
  const out = await emptyFolder();
  const seeder = await openSession({}, { workers: 1 });
  await seeder.add(torrent, { out: seeds, fetch: false, seed: true }).done;
  const session = await openSession({}, { workers: 2 });
  const download = session.add(torrent, { out, peers: [{ host: '127.0.0.1', port: seeder.port }] });
  await download.done;
  expect(download.stats()).toMatchObject({ left: 0, have: download.metainfo.length });
  return out;
}

describe('a download', () => {
  it.each([
    ['no power of two, nor a multiple of a block', 100_000, 3 * 100_000 + 5],
    ['shorter than a block', 10_000, 95_001],
    ['one byte', 1, 40],
    ['a block, the last piece one byte', 16_384, 5 * 16_384 + 1],
    ['a block and a byte', 16_385, 3 * 16_385],
    ['longer than the torrent', 4 * MIB, 12_345],
    ['odd and above a MiB, the last piece one byte', 1_000_003, 2 * 1_000_003 + 1],
  ])('in pieces that are %s completes', async (_, pieceLength, length) => {
    const torrent = smallTorrent(length, pieceLength);
    const seeds = await emptyFolder();
    writeFileSync(join(seeds, torrent.name), torrent.payload);
    const out = await downloaded(torrent.bytes, seeds);
    expect(readFileSync(join(out, torrent.name)).equals(torrent.payload)).toBe(true);
  });

  it('in one piece of 512 MiB completes with half of that as memory: the cap is one piece then', async () => {
    const length = 512 * MIB;
    const zeros = Buffer.alloc(16 * MIB);
    const sha1 = createHash('sha1');
    for (let at = 0; at < length; at += zeros.length) sha1.update(zeros);
    const pieceHashes = sha1.digest();
    const torrent = encodeMetainfo({ name: 'zeros', length, pieceLength: length, pieceHashes });
    const [seeds, out] = [await emptyFolder(), await emptyFolder()];
    const file = join(seeds, 'zeros.torrent');
    writeFileSync(file, torrent);
    writeFileSync(join(seeds, 'zeros'), '');
    truncateSync(join(seeds, 'zeros'), length);
    const seeder = await startSeeder({ torrent: file, dir: seeds });
    atEnd(() => seeder.stop());
    const local = ['--bind', '127.0.0.1', '--peer', `127.0.0.1:${seeder.port}`];
    const { code, stderr } = await spate([file, '-o', out, '--memory', '256MiB', ...local, '-q']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(statSync(join(out, 'zeros')).size).toBe(length);
  });

  it('of 4 TiB can be added, checked and stopped; nothing is on disk before a byte has come', async () => {
    const pieceLength = 16 * MIB;
    const length = 4 * 1024 * 1024 * MIB;
    const pieceHashes = new Uint8Array((length / pieceLength) * 20);
    const session = await openSession();
    const out = await emptyFolder();
    const checked = new Promise((resolve) => {
      session.add(encodeMetainfo({ name: 'vast', length, pieceLength, pieceHashes }), {
        out,
        onEvent: (event) => event.type === 'checked' && resolve(event),
      });
    });
    expect(await checked).toEqual({ type: 'checked', pieces: 0, of: 262_144, trusted: 0 });
    await session.close();
    expect(() => statSync(join(out, 'vast'))).toThrow('ENOENT');
  });
});

describe('a million pieces of a block', () => {
  it('are read and picked, the last one short', () => {
    const count = 2 ** 20;
    const length = (count - 1) * 16_384 + 1;
    const pieceHashes = new Uint8Array(count * 20);
    const metainfo = parseMetainfo(encodeMetainfo({ name: 'many', length, pieceLength: 16_384, pieceHashes }));
    const geometry = new Geometry(metainfo);
    expect(geometry.pieceCount).toBe(count);
    expect(geometry.lengthOf(geometry.pieceIndex(count - 1)!)).toBe(1);
    const availability = [{ availability: new Uint16Array(count).fill(1), version: 1 }];
    const picker = new Picker(geometry, Bitfield.full(count), new Bitfield(count), availability, () => 0.5);
    const picked = new Set<number>();
    for (let now = 0; picked.size < count; now++) {
      const run = picker.pick(0, { canGive: () => true }, picker.runLength, now);
      expect(run.length).toBeGreaterThan(0);
      for (const piece of run) picked.add(piece);
    }
    expect(picker.isExhausted).toBe(true);
  });
});

describe('many empty files', () => {
  it('are all made, in a torrent without a byte', async () => {
    const files = Array.from({ length: 300 }, (_, i) => ({ path: [`d${i % 7}`, `f${i}`], length: 0 }));
    const torrent = encodeMetainfo({ name: 'empties', files, pieceLength: 16_384, pieceHashes: new Uint8Array(0) });
    const out = await emptyFolder();
    mkdirSync(join(out, 'empties'));
    await (await openSession({ openFiles: 4 })).add(torrent, { out }).done;
    for (const { path } of files) expect(statSync(join(out, 'empties', ...path)).size).toBe(0);
  });
});
