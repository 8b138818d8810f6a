import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DownloadEvent } from '../../src/api.js';
import { BUILT } from '../../src/package.js';
import { Session } from '../../src/session.js';
import { oddTorrent } from '../helpers/odd-torrent.js';
import {
  bitfield,
  block,
  fullBitfield,
  handshakeOf,
  message,
  RawPeer,
  request,
  ScriptedPeer,
  ScriptedSeed,
  UNCHOKE,
} from '../helpers/scripted-peer.js';
import { atEnd, emptyFolder, ending, openSession } from '../helpers/session-harness.js';
import { type SmallTorrent, smallTorrent } from '../helpers/small-torrent.js';

const BLOCK = 16_384;
/** 40 pieces of 4 blocks and a short one. */
const torrent = smallTorrent(40 * 4 * BLOCK + 777, 4 * BLOCK);

const at = (...ports: number[]) => ports.map((port) => ({ host: '127.0.0.1', port }));
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error) => error.code,
  );
const onDisk = (out: string, { name }: SmallTorrent) => readFile(join(out, name));

describe('a download', () => {
  it('fetches from peers that each have a part, verifies and ends', async () => {
    const even = Buffer.alloc(6, 0b1010_1010);
    const odd = Buffer.from([0x55, 0x55, 0x55, 0x55, 0x55, 0]);
    even[5] = 0b1000_0000;
    const one = await ending(ScriptedSeed.listen(torrent, { has: even }));
    const two = await ending(ScriptedSeed.listen(torrent, { has: odd, peerId: '-XX0001-the-other-1-' }));
    const [session, out] = [await openSession(), await emptyFolder()];
    const download = session.add(torrent.bytes, { out, peers: at(one.port, two.port) });
    await download.done;
    expect(download.state).toBe('complete');
    expect(download.stats()).toMatchObject({ have: torrent.payload.length, left: 0, wasted: 0 });
    expect((await onDisk(out, torrent)).equals(torrent.payload)).toBe(true);
    expect(one.requests.every(({ piece }) => piece % 2 === 0)).toBe(true);
    expect(new Set([...one.requests, ...two.requests].map(({ piece, begin }) => `${piece} ${begin}`)).size).toBe(161);
  });

  it('keeps what is on disk and good, and overwrites what is bad', async () => {
    const seed = await ending(ScriptedSeed.listen(torrent));
    const [session, out] = [await openSession(), await emptyFolder()];
    const existing = Buffer.from(torrent.payload.subarray(0, 30 * 4 * BLOCK));
    existing.fill(7, 5 * 4 * BLOCK + 100, 5 * 4 * BLOCK + 110);
    await writeFile(join(out, torrent.name), existing);
    const events: DownloadEvent[] = [];
    const download = session.add(torrent.bytes, { out, peers: at(seed.port), onEvent: (event) => events.push(event) });
    await download.done;
    expect(events).toContainEqual({ type: 'checked', pieces: 29, of: 41, trusted: 0 });
    expect((await onDisk(out, torrent)).equals(torrent.payload)).toBe(true);
    const fetched = new Set(seed.requests.map(({ piece }) => piece));
    expect([...fetched].sort((a, b) => a - b)).toEqual([5, ...Array.from({ length: 11 }, (_, i) => 30 + i)]);
  });

  it('is over at once, without a peer, when everything is there', async () => {
    const [session, out] = [await openSession(), await emptyFolder()];
    await writeFile(join(out, torrent.name), torrent.payload);
    const download = session.add(torrent.bytes, { out });
    await download.done;
    expect(download.state).toBe('complete');
  });

  it('of nothing makes an empty file', async () => {
    const [session, out] = [await openSession(), await emptyFolder()];
    const empty = smallTorrent(0, BLOCK);
    await session.add(empty.bytes, { out }).done;
    expect(await onDisk(out, empty)).toHaveLength(0);
  });

  it('goes on elsewhere when a peer leaves in the middle of a piece', async () => {
    let blocks = 0;
    const quitter: ScriptedSeed = await ending(
      ScriptedSeed.listen(torrent, {
        answer: (piece, begin, length, peer) => {
          if (++blocks <= 10) return quitter.blockOf(piece, begin, length);
          peer.socket.destroy();
          return undefined;
        },
      }),
    );
    const seed = await ending(ScriptedSeed.listen(torrent, { peerId: '-XX0001-the-other-1-' }));
    const [session, out] = [await openSession(), await emptyFolder()];
    await session.add(torrent.bytes, { out, peers: at(quitter.port, seed.port) }).done;
    expect((await onDisk(out, torrent)).equals(torrent.payload)).toBe(true);
  });

  it('has the last pieces fetched by another group when the one that holds them is stuck', async () => {
    const stuck = await ending(ScriptedSeed.listen(torrent, { answer: () => undefined }));
    const session = await openSession({ endgameAfterMs: 50 });
    const out = await emptyFolder();
    const download = session.add(torrent.bytes, { out, peers: at(stuck.port) });
    while (stuck.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const seed = await ending(ScriptedSeed.listen(torrent, { peerId: '-XX0001-the-other-1-' }));
    const helper = await RawPeer.dial(session.port);
    atEnd(async () => helper.socket.destroy());
    // An incoming peer is the door's; the stuck one was dialled by whichever group.
    helper.send(handshakeOf(torrent.infohash, '-XX0001-the-other-1-'), bitfield(fullBitfield(41)), UNCHOKE);
    await helper.bytes(68);
    const serving = (async () => {
      for (;;) {
        const { body } = await helper.nextOf(6);
        const [piece, begin, length] = [body.readUInt32BE(0), body.readUInt32BE(4), body.readUInt32BE(8)];
        helper.send(seed.blockOf(piece, begin, length));
      }
    })().catch(() => {});
    await download.done;
    helper.socket.destroy();
    await serving;
    expect((await onDisk(out, torrent)).equals(torrent.payload)).toBe(true);
  });

  it('does not starve on unfinished pieces when the budget is spent', async () => {
    let quits = 0;
    const quitters = await Promise.all(
      [1, 2, 3].map((n) => {
        const quitter: Promise<ScriptedSeed> = ScriptedSeed.listen(torrent, {
          peerId: `-XX0001-quitter-${n}---`,
          answer: (piece, begin, length, peer) => {
            if (begin > 0) {
              quits++;
              peer.socket.destroy();
              return undefined;
            }
            const at = piece * torrent.pieceLength;
            return block(piece, begin, torrent.payload.subarray(at, at + length));
          },
        });
        return ending(quitter);
      }),
    );
    const seed = await ending(ScriptedSeed.listen(torrent));
    const [session, out] = [await openSession({ memoryBytes: 1_048_576, reconnectMs: 10 }), await emptyFolder()];
    const download = session.add(torrent.bytes, { out, peers: at(...quitters.map(({ port }) => port), seed.port) });
    await download.done;
    expect(quits).toBeGreaterThan(0);
    expect((await onDisk(out, torrent)).equals(torrent.payload)).toBe(true);
  });

  it('shares its session with another and a budget smaller than one piece', async () => {
    const second = smallTorrent(20 * 64 * BLOCK, 128 * BLOCK, { name: 'second.bin', seed: 9 });
    const seeds = [await ending(ScriptedSeed.listen(torrent)), await ending(ScriptedSeed.listen(second))];
    const [session, out] = [await openSession({ memoryBytes: 1_048_576 }), await emptyFolder()];
    const downloads = [torrent, second].map((it, i) => session.add(it.bytes, { out, peers: at(seeds[i]!.port) }));
    await Promise.all(downloads.map(({ done }) => done));
    for (const it of [torrent, second]) expect((await onDisk(out, it)).equals(it.payload)).toBe(true);
  });

  it('seeds what it has fetched to the next one when told to', async () => {
    const seed = await ending(ScriptedSeed.listen(torrent));
    const [first, second] = [await openSession(), await openSession()];
    const [out, copy] = [await emptyFolder(), await emptyFolder()];
    const download = first.add(torrent.bytes, { out, peers: at(seed.port), seed: true });
    await download.done;
    expect(download.state).toBe('seeding');
    await seed.close();
    await second.add(torrent.bytes, { out: copy, peers: at(first.port) }).done;
    expect((await onDisk(copy, torrent)).equals(torrent.payload)).toBe(true);
    await download.stop();
    expect(download.stats()).toMatchObject({ state: 'stopped', uploaded: torrent.payload.length });
  });

  it('can be stopped in the middle and added again', async () => {
    let answered = 0;
    let going = false;
    const seed: ScriptedSeed = await ending(
      ScriptedSeed.listen(torrent, {
        answer: (piece, begin, length) => (++answered > 50 && !going ? undefined : seed.blockOf(piece, begin, length)),
      }),
    );
    const [session, out] = [await openSession(), await emptyFolder()];
    const first = session.add(torrent.bytes, { out, peers: at(seed.port) });
    while (first.stats().have < 5 * 4 * BLOCK) await new Promise((resolve) => setImmediate(resolve));
    await first.stop();
    expect(await codeOf(first.done)).toBe('CLOSED');
    going = true;
    const again = session.add(torrent.bytes, { out, peers: at(seed.port) });
    await again.done;
    expect(again.stats().downloaded).toBeLessThan(torrent.payload.length);
    expect((await onDisk(out, torrent)).equals(torrent.payload)).toBe(true);
  });
});

describe('a rate limit', () => {
  const RATE = 2 * 1_048_576;

  it('holds a download to its rate and lets it reach it', async () => {
    const long = smallTorrent(6 * 1_048_576, 4 * BLOCK, { name: 'long.bin' });
    const seeds = await Promise.all(
      [1, 2, 3].map((n) => ending(ScriptedSeed.listen(long, { peerId: `-XX0001-number-${n}----` }))),
    );
    const [session, out] = [await openSession({}, { maxDown: RATE }), await emptyFolder()];
    const started = performance.now();
    await session.add(long.bytes, { out, peers: at(...seeds.map(({ port }) => port)) }).done;
    const seconds = (performance.now() - started) / 1000;
    // 6 MiB at 2 MiB/s, less what the buckets hold at first; an unlimited one takes a tenth of this.
    expect(seconds).toBeGreaterThan(2);
    expect((await onDisk(out, long)).equals(long.payload)).toBe(true);
  });

  it('of one torrent holds that one, over all its groups, and no other', async () => {
    const slow = smallTorrent(4 * 1_048_576, 4 * BLOCK, { name: 'slow.bin' });
    const fast = smallTorrent(4 * 1_048_576, 4 * BLOCK, { name: 'fast.bin', seed: 2 });
    const seeds = await Promise.all(
      [slow, slow, fast].map((of, n) => ending(ScriptedSeed.listen(of, { peerId: `-XX0001-number-${n}----` }))),
    );
    const [one, two, other] = seeds.map(({ port }) => port) as [number, number, number];
    const [session, out] = [await openSession(), await emptyFolder()];
    const started = performance.now();
    const limited = session.add(slow.bytes, { out, maxDown: RATE, peers: at(one, two) });
    await session.add(fast.bytes, { out, peers: at(other) }).done;
    expect(limited.state).not.toBe('complete');
    await limited.done;
    // 4 MiB at 2 MiB/s, less what the buckets hold at first.
    expect((performance.now() - started) / 1000).toBeGreaterThan(1);
    expect((await onDisk(out, slow)).equals(slow.payload)).toBe(true);
    expect(() => session.add(torrent.bytes, { out, maxDown: -1 })).toThrow(
      expect.objectContaining({ code: 'USAGE', message: 'maxDown must be 0 or more bytes per second, got -1' }),
    );
    expect(session.add(torrent.bytes, { out, check: 'none' }).state).toBe('checking');
  });

  it('holds uploads to their rate', async () => {
    const long = smallTorrent(4 * 1_048_576, 4 * BLOCK, { name: 'long.bin' });
    const [seeder, leecher] = [await openSession({}, { maxUp: RATE }), await openSession()];
    const [full, out] = [await emptyFolder(), await emptyFolder()];
    await writeFile(join(full, long.name), long.payload);
    await seeder.add(long.bytes, { out: full, seed: true }).done;
    const started = performance.now();
    await leecher.add(long.bytes, { out, peers: at(seeder.port) }).done;
    expect((performance.now() - started) / 1000).toBeGreaterThan(1);
    expect((await onDisk(out, long)).equals(long.payload)).toBe(true);
  });
});

describe('a download among peers that lie', () => {
  const poison = (piece: number, begin: number, length: number) => block(piece, begin, Buffer.alloc(length, 1));

  it('bans the one that sends bad data and completes from the honest one', async () => {
    const liar = await ending(ScriptedSeed.listen(torrent, { answer: poison }));
    const [session, out] = [await openSession(), await emptyFolder()];
    const warnings: string[] = [];
    const download = session.add(torrent.bytes, {
      out,
      peers: at(liar.port),
      onEvent: (event) => event.type === 'warning' && warnings.push(event.message),
    });
    expect(await codeOf(download.done)).toBe('BAD_DATA');
    expect(warnings).toEqual(['peer 127.0.0.1 is banned: it sent bad data']);

    // A ban is of an IP address: the honest one needs its own.
    const honest = await ending(ScriptedSeed.listen(torrent, { peerId: '-XX0001-the-other-1-' }, '127.0.0.2'));
    const second = await openSession();
    const { host, port } = honest;
    const mixed = second.add(torrent.bytes, { out, peers: [...at(liar.port), { host, port }] });
    await mixed.done;
    expect((await onDisk(out, torrent)).equals(torrent.payload)).toBe(true);
  });

  it('keeps one connection to a peer that answers at two addresses', async () => {
    const one = await ending(ScriptedSeed.listen(torrent));
    const two = await ending(ScriptedSeed.listen(torrent));
    const [session, out] = [await openSession(), await emptyFolder()];
    let [connected, most] = [0, 0];
    const download = session.add(torrent.bytes, {
      out,
      peers: at(one.port, two.port),
      onEvent: (event) => {
        if (event.type !== 'peer') return;
        if (event.what === 'connected') connected++;
        // A duplicate never counted as connected; the other address is tried again when the first one has gone.
        else if (event.what.startsWith('disconnected') && !event.what.endsWith('duplicate')) connected--;
        most = Math.max(most, connected);
      },
    });
    await download.done;
    expect(most).toBe(1);
  });

  const useless: readonly [string, (peer: RawPeer) => void][] = [
    ['send garbage', (peer) => peer.send(Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'))],
    ['announce a message of 4 GiB', (peer) => peer.send(handshakeOf(torrent.infohash), Buffer.alloc(4, 0xff))],
    ['name another torrent', (peer) => peer.send(handshakeOf(Buffer.alloc(20, 1)))],
    ['say nothing', () => {}],
  ];
  it.each(useless)('completes when the other peers %s', async (_what, script) => {
    const bad = await ending(ScriptedPeer.listen(script));
    const good = await ending(ScriptedSeed.listen(torrent));
    const [session, out] = [await openSession(), await emptyFolder()];
    await session.add(torrent.bytes, { out, peers: at(bad.port, good.port) }).done;
    expect((await onDisk(out, torrent)).equals(torrent.payload)).toBe(true);
  });

  it('says UNAVAILABLE when nobody can be reached, and names who was tried', async () => {
    const bad = await ending(ScriptedPeer.listen((peer) => peer.send(Buffer.from('nonsense'))));
    const [session, out] = [await openSession({ peerTimeoutMs: 300 }), await emptyFolder()];
    const { done } = session.add(torrent.bytes, { out, peers: at(bad.port) });
    await expect(done).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('none of 1 peers'),
    });
  });

  it('says UNAVAILABLE at once when there is nobody to ask', async () => {
    const [session, out] = [await openSession(), await emptyFolder()];
    const { done } = session.add(torrent.bytes, { out });
    await expect(done).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('--peer') });
  });

  it('says STALLED when peers are there and give nothing', async () => {
    const silent = await ending(ScriptedSeed.listen(torrent, { answer: () => undefined }));
    const [session, out] = [await openSession({ stallTimeoutMs: 300 }), await emptyFolder()];
    expect(await codeOf(session.add(torrent.bytes, { out, peers: at(silent.port) }).done)).toBe('STALLED');
  });
});

describe('a session', () => {
  it('refuses an infohash it has already', async () => {
    const silent = await ending(ScriptedSeed.listen(torrent, { answer: () => undefined }));
    const [session, out] = [await openSession(), await emptyFolder()];
    session.add(torrent.bytes, { out, peers: at(silent.port) });
    expect(() => session.add(torrent.bytes, { out })).toThrow(expect.objectContaining({ code: 'DUPLICATE_TORRENT' }));
  });

  it('refuses a torrent that would be written where another one is', async () => {
    const silent = await ending(ScriptedSeed.listen(torrent, { answer: () => undefined }));
    const twin = smallTorrent(100_000, BLOCK, { name: torrent.name.toUpperCase() });
    const [session, out] = [await openSession(), await emptyFolder()];
    session.add(torrent.bytes, { out, peers: at(silent.port) });
    expect(() => session.add(twin.bytes, { out })).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  it('refuses one with a file of another torrent at work, by whatever way, until that has ended', async () => {
    const silent = await ending(ScriptedSeed.listen(torrent, { answer: () => undefined }));
    const folder = oddTorrent([{ path: [torrent.name], length: 9 }], { name: 'dir' });
    const beside = oddTorrent([{ path: ['beside'], length: 9 }], { name: 'dir' });
    const [session, out] = [await openSession(), await emptyFolder()];
    await mkdir(join(out, 'dir'));
    await symlink('dir', join(out, 'link'));
    const download = session.add(torrent.bytes, { out: join(out, 'link'), peers: at(silent.port) });
    download.done.catch(() => {});
    expect(() => session.add(folder.bytes, { out })).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        message: `dir would be written where ${torrent.infohash.toString('hex')} is: ${join(out, 'dir')}`,
      }),
    );
    const other = session.add(beside.bytes, { out, peers: at(silent.port) });
    other.done.catch(() => {});
    await Promise.all([download.stop(), other.stop()]);
    session.add(folder.bytes, { out, peers: at(silent.port) }).done.catch(() => {});
  });

  it('says which port it cannot listen on', async () => {
    const taken = await ending(ScriptedPeer.listen(() => {}));
    const opening = openSession({}, { port: taken.port });
    await expect(opening).rejects.toMatchObject({
      code: 'CANNOT_LISTEN',
      message: expect.stringContaining(String(taken.port)),
    });
  });

  it('refuses settings out of range', async () => {
    await expect(openSession({ memoryBytes: 1 })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(openSession({}, { workers: 0 })).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('fails a download whose folder cannot be written, and no other', async () => {
    const seed = await ending(ScriptedSeed.listen(torrent));
    const other = smallTorrent(100_000, BLOCK, { name: 'other.bin', seed: 3 });
    const otherSeed = await ending(ScriptedSeed.listen(other));
    const [session, out] = [await openSession(), await emptyFolder()];
    await writeFile(join(out, 'file'), '');
    const failing = session.add(torrent.bytes, { out: join(out, 'file'), peers: at(seed.port) });
    const fine = session.add(other.bytes, { out, peers: at(otherSeed.port) });
    expect(await codeOf(failing.done)).toBe('LOCAL_IO');
    await fine.done;
    expect((await onDisk(out, other)).equals(other.payload)).toBe(true);
  });

  it('tells of a failure while it seeds', async () => {
    const [session, out] = [await openSession(), await emptyFolder()];
    await writeFile(join(out, torrent.name), torrent.payload);
    const download = session.add(torrent.bytes, { out, seed: true });
    await download.done;
    await rm(join(out, torrent.name));
    const leecher = await RawPeer.dial(session.port);
    atEnd(async () => leecher.socket.destroy());
    leecher.send(handshakeOf(torrent.infohash), message(2), request(0, 0, BLOCK));
    await leecher.bytes(68);
    await leecher.nextOf(1);
    leecher.send(request(0, 0, BLOCK));
    await expect(download.ended).rejects.toMatchObject({ code: 'LOCAL_IO' });
    expect(download.state).toBe('failed');
  });

  it('refuses what is added after its end', async () => {
    const [session, out] = [await openSession(), await emptyFolder()];
    await session.close();
    expect(() => session.add(torrent.bytes, { out })).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });
});

describe('the worker threads of a session', () => {
  /** A worker that leaves a file with its number when it starts. */
  async function countedWorker(folder: string): Promise<URL> {
    const file = join(folder, 'counted.mjs');
    await writeFile(
      file,
      `import { peerGroup as uncounted } from ${JSON.stringify(BUILT.peerGroup)};
       import { writeFileSync } from 'node:fs';
       export function peerGroup(start) {
         writeFileSync(${JSON.stringify(`${folder}/group-`)} + start.group, '');
         return uncounted(start);
       }`,
    );
    return new URL(`file://${file}`);
  }

  it('are started by the torrents that are worth them, each with its first peer', async () => {
    const [folder, out] = [await emptyFolder(), await emptyFolder()];
    const started = async () => (await readdir(folder)).filter((name) => name.startsWith('group-')).sort();
    const session = await openSession(
      { groupBytes: 20 * BLOCK },
      { workers: 3, workerUrl: await countedWorker(folder) },
    );
    expect(await started()).toEqual(['group-0']);
    for (const [blocks, peers, groups] of [
      [20, 3, ['group-0']],
      [60, 1, ['group-0']],
      [61, 4, ['group-0', 'group-1', 'group-2']],
    ] as const) {
      const payload = smallTorrent(blocks * BLOCK, BLOCK, { name: `${blocks}.bin` });
      const ports = await Promise.all(
        Array.from({ length: peers }, async () => (await ending(ScriptedSeed.listen(payload))).port),
      );
      await session.add(payload.bytes, { out, peers: ports.flatMap((port) => at(port)) }).done;
      expect((await onDisk(out, payload)).equals(payload.payload)).toBe(true);
      await expect.poll(started).toEqual(groups);
    }
  });
});

describe('a session whose worker threads die', () => {
  const long = smallTorrent(1000 * BLOCK, BLOCK, { name: 'long.bin' });

  /** A worker whose first `lives` incarnations in `group` die with a message of verified pieces. */
  async function mortalWorker(group: number, how: string, lives = 1, verified = 1): Promise<URL> {
    const file = join(await emptyFolder(), 'mortal.mjs');
    await writeFile(
      file,
      `import { peerGroup as immortal } from ${JSON.stringify(BUILT.peerGroup)};
       import { appendFileSync, existsSync, readFileSync } from 'node:fs';
       const tally = ${JSON.stringify(`${file}.deaths`)};
       const deaths = () => (existsSync(tally) ? readFileSync(tally).length : 0);
       export function peerGroup(start) {
         const post = start.port.postMessage.bind(start.port);
         let verified = 0;
         if (start.group === ${group} && deaths() < ${lives}) {
           start.port.postMessage = (message, transfer) => {
             post(message, transfer);
             if (message.type !== 'verified' || ++verified !== ${verified}) return;
             appendFileSync(tally, '!');
             ${how};
           };
         }
         return immortal(start);
       }`,
    );
    return new URL(`file://${file}`);
  }

  const deaths: readonly [string, string, number][] = [
    ['throws', `setImmediate(() => { throw new Error('boom'); })`, 1],
    ['exits', 'process.exit(1)', 1],
    ['throws at the door', `setImmediate(() => { throw new Error('boom'); })`, 0],
    ['exits at the door', 'process.exit(1)', 0],
  ];
  it.each(deaths)('loses no byte when one %s', async (_what, how, group) => {
    // Nobody answers before everybody has been asked: each group gets work, however slowly its thread starts.
    const asked = new Set<number>();
    let held: (() => void)[] = [];
    const honest = async (n: number): Promise<ScriptedSeed> => {
      const seed: ScriptedSeed = await ScriptedSeed.listen(long, {
        peerId: `-XX0001-number-${n}----`,
        answer: (piece, begin, length, peer) => {
          asked.add(n);
          if (asked.size < 4) held.push(() => peer.send(seed.blockOf(piece, begin, length)));
          if (asked.size < 4) return undefined;
          for (const send of held) send();
          held = [];
          return seed.blockOf(piece, begin, length);
        },
      });
      return seed;
    };
    const seeds = await Promise.all([1, 2, 3, 4].map((n) => ending(honest(n))));
    const workerUrl = await mortalWorker(group, how);
    const [session, out] = [await openSession({}, { workerUrl }), await emptyFolder()];
    const { port } = session;
    const download = session.add(long.bytes, { out, peers: at(...seeds.map((seed) => seed.port)), seed: true });
    await download.done;
    expect((await onDisk(out, long)).equals(long.payload)).toBe(true);
    expect(await readFile(`${workerUrl.pathname}.deaths`, 'utf8')).toBe('!');
    // The door, whichever group it is, answers on the port it had.
    const visitor = await RawPeer.dialUntilOpen(port);
    atEnd(async () => visitor.socket.destroy());
    visitor.send(handshakeOf(long.infohash, '-XX0001-a-visitor---'));
    expect((await visitor.bytes(68)).subarray(28, 48)).toEqual(long.infohash);
  });

  it('ends with INTERNAL when they die three times within a minute', async () => {
    const seed = await ending(ScriptedSeed.listen(long));
    const workerUrl = await mortalWorker(0, 'process.exit(1)', 9);
    const [session, out] = [await openSession({}, { workerUrl, workers: 1 }), await emptyFolder()];
    const { done } = session.add(long.bytes, { out, peers: at(seed.port) });
    await expect(done).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('worker threads died'),
    });
  });

  it('says why when the worker cannot be loaded', async () => {
    const workerUrl = new URL('file:///nonexistent/worker.js');
    await expect(Session.open({ bind: '127.0.0.1', workers: 1, workerUrl })).rejects.toMatchObject({
      code: 'INTERNAL',
    });
  });
});
