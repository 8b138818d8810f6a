// `spate batch` against Debian's libtorrent as the seed of over a thousand torrents, introduced by Debian's opentracker over HTTP
// and UDP. Some are dead, some corrupt at the seed, some no torrents at all.
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { Row, Totals } from '../../src/batch/report.js';
import { torrentOf } from '../helpers/small-torrent.js';
import { closeLabs, inLab, type Lab } from './lab.js';
import { PYTHON } from './libtorrent.js';
import { expectPackages } from './packages.js';
import { expectRoom } from './payload.js';
import { CLI } from './spate.js';
import { newFolder } from './task.js';
import { startTracker } from './tracker.js';

const MIB = 2 ** 20;
/** It writes 1.8 GiB twice. */
const DEADLINE_MS = 180_000;
const SCRIPT = fileURLToPath(new URL('../../bench/swarm/libtorrent-many.py', import.meta.url));
const SIZES = [...Array<number>(1000).fill(MIB), ...Array<number>(200).fill(4 * MIB)];

/** 5% dead, 2% corrupt, 1% invalid; spread over both sizes. */
const fateOf = (n: number): 'good' | 'dead' | 'corrupt' | 'invalid' => {
  if (n % 20 === 7) return 'dead';
  if (n % 50 === 13) return 'corrupt';
  return n % 100 === 31 ? 'invalid' : 'good';
};

interface Item {
  readonly name: string;
  readonly payload: Buffer;
  readonly fate: ReturnType<typeof fateOf>;
}

beforeAll(async () => {
  expectPackages();
  await expectRoom(4 * 2 ** 30);
});

afterEach(closeLabs);

/** 64 KiB of its own again and again: made and compared in no time. */
function makeItem(n: number): Item {
  const block = createHash('shake256', { outputLength: 65_536 }).update(`${n}`).digest();
  const payload = Buffer.alloc(SIZES[n]!);
  for (let at = 0; at < payload.length; at += block.length) block.copy(payload, at);
  return { name: `t${String(n).padStart(4, '0')}`, payload, fate: fateOf(n) };
}

it('downloads what can be had of 1,200 torrents, and tells the truth of the others', {
  timeout: DEADLINE_MS + 15_000,
}, async () => {
  await inLab(async (lab) => {
    const items = SIZES.map((_, n) => makeItem(n));
    const { list, seeded, seeds, known } = await prepare(lab, items);
    const seed = await lab.start('libtorrent', PYTHON, [SCRIPT, 'seed', seeds, ...seeded], 'pipe');
    await seed.line(/^seeding$/, lab.signal);
    await known();
    for (const { name, fate } of items) if (fate === 'corrupt') await writeFile(join(seeds, name), Buffer.alloc(MIB));

    const out = lab.newPath('out');
    const first = await batch(lab, list, out, 'exit code 7');

    const counts = { good: 0, dead: 0, corrupt: 0, invalid: 0 };
    for (const { fate } of items) counts[fate]++;
    const { good, dead, corrupt, invalid } = counts;
    expect(first.totals.states).toEqual({ done: good, failed: dead + corrupt, invalid });
    const rows = new Map(first.items.map((row) => [row.name, row]));
    for (const { name, fate, payload } of items) {
      if (fate === 'dead') expect(rows.get(name)?.error).toMatchObject({ code: 'UNAVAILABLE' });
      if (fate === 'good') expect((await readFile(join(out, name))).equals(payload), name).toBe(true);
    }

    const second = await batch(lab, list, out, 'exit code 7', '--retries', '0');
    expect(second.totals.states).toEqual({ already: good, failed: dead + corrupt, invalid });
  }, DEADLINE_MS);
});

async function prepare(lab: Lab, items: readonly Item[]) {
  const [seeds, torrents] = [await newFolder(lab, 'seeds'), await newFolder(lab, 'torrents')];
  const bare = items.map(({ payload, name }) => torrentOf(payload, 65_536, { name }));
  const tracker = await startTracker(
    lab,
    bare.map(({ infohash }) => infohash),
  );
  const paths: string[] = [];
  const infohashes: Uint8Array[] = [];
  const seeded: string[] = [];
  for (const [n, { name, payload, fate }] of items.entries()) {
    const announce = n % 2 === 0 ? tracker.http : tracker.udp;
    const bytes = Buffer.concat([Buffer.from(`d8:announce${announce.length}:${announce}`), bare[n]!.bytes.subarray(1)]);
    const path = join(torrents, `${name}.torrent`);
    await writeFile(path, fate === 'invalid' ? bytes.subarray(0, -3) : bytes);
    paths.push(path);
    if (fate === 'dead' || fate === 'invalid') continue;
    seeded.push(path);
    infohashes.push(bare[n]!.infohash);
    await writeFile(join(seeds, name), payload);
  }
  const list = lab.newPath('list.txt');
  await writeFile(list, `${paths.join('\n')}\n`);
  await mkdir(join(lab.folder, 'state'));
  const known = async (): Promise<void> => {
    for (const infohash of infohashes) await tracker.expect(infohash, { seeds: 1 });
  };
  return { list, seeded, seeds, known };
}

async function batch(lab: Lab, list: string, out: string, end: string, ...flags: string[]) {
  const patience = ['--peer-timeout', '6s', '--stall-timeout', '6s', '--retries', '1', '--retry-wait', '500ms'];
  const args = ['batch', list, '-o', out, '--bind', '127.0.0.1', '--skip-invalid', '--json', ...patience, ...flags];
  const client = await lab.start('spate batch', process.execPath, [CLI, ...args]);
  await lab.expectEnd(client, end);
  const summary = client.lines.findLast((line) => line.startsWith('{"type":"summary"'));
  return JSON.parse(summary!) as { readonly totals: Totals; readonly items: readonly Row[] };
}
