// Real sessions whose memory is spent on pieces that nobody can go on with.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { gate } from '../helpers/fs-disk.js';
import { type RawPeer, ScriptedSeed } from '../helpers/scripted-peer.js';
import { emptyFolder, ending, openSession } from '../helpers/session-harness.js';
import { type SmallTorrent, smallTorrent } from '../helpers/small-torrent.js';

const MIB = 1_048_576;
/** A piece is all the memory there is, as one of 512 MiB of 256. */
const OPTIONS = { memoryBytes: MIB, spillAfterMs: 50, reconnectMs: 0 };
const huge = smallTorrent(2 * MIB, MIB, { name: 'huge.bin' });
const other = smallTorrent(3 * MIB, MIB, { name: 'other.bin', seed: 2 });

/** A peer of piece 0 that gives so many blocks, goes away and says nothing when dialled again. @returns what it has given */
async function leaver(torrent: SmallTorrent, blocks: number) {
  const given = new Set<number>();
  const seed: ScriptedSeed = await ending(
    ScriptedSeed.listen(torrent, {
      has: Buffer.from([0x80]),
      ready: (connection) => (connection === 0 ? Promise.resolve() : new Promise(() => {})),
      answer: (piece: number, begin: number, length: number, peer: RawPeer) => {
        if (given.size === blocks) {
          peer.socket.end();
          return undefined;
        }
        given.add(begin);
        return seed.blockOf(piece, begin, length);
      },
    }),
  );
  return { seed, given };
}

it.each([
  ['with a state folder', true],
  ['without one', false],
])(
  'a piece whose peers have left makes room for other torrents and is gone on with, no block of it fetched twice, %s',
  async (_, remembers) => {
    const later = gate();
    const { seed: first, given } = await leaver(huge, 20);
    const second = await ending(ScriptedSeed.listen(other));
    const third = await ending(
      ScriptedSeed.listen(huge, { peerId: '-XX0001-the-third-1-', ready: () => later.opened }),
    );
    const [out, stateFolder] = [await emptyFolder(), await emptyFolder()];
    const session = await openSession(OPTIONS, { workers: 1, ...(remembers && { stateFolder }) });
    const at = (...seeds: ScriptedSeed[]) => ({ out, peers: seeds.map(({ port }) => ({ host: '127.0.0.1', port })) });
    const download = session.add(huge.bytes, at(first, third));
    while (given.size < 20) await new Promise((resolve) => setImmediate(resolve));

    await session.add(other.bytes, at(second)).done;

    expect(readFileSync(join(out, other.name)).equals(other.payload)).toBe(true);
    expect(download.stats().have).toBe(0);
    later.open();
    await download.done;
    expect(readFileSync(join(out, huge.name)).equals(huge.payload)).toBe(true);
    expect(third.requests.filter(({ piece, begin }) => piece === 0 && given.has(begin))).toEqual([]);
  },
);
