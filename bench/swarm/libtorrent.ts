/**
 * Four libtorrent leechers without a seed, each with another quarter of the torrent: when has the last of them everything, alone
 * and with ours among them? Ours uploads at their rate and must not make it later. Runs are interleaved.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { quantile } from '../../src/statistics.js';
import type { SmallTorrent } from '../../test/helpers/small-torrent.js';
import { Client } from './client.js';
import { type Lab, MIB, madeUpTorrent } from './lab.js';
import { percent, printTable, seconds } from './table.js';

/** The system's Python: any other lacks Debian's modules. */
const PYTHON = '/usr/bin/python3';
/** Beside the sources: a compiled copy of this file has none. */
const SCRIPT = fileURLToPath(new URL('../../../test/interop/libtorrent-peer.py', import.meta.url));
const LEECHERS = 4;
const UPLOAD = 4 * MIB;
const RUNS = 3;

/** What ours has at the start: nothing; or as much as each of the others, a piece of every one's quarter by turns. */
type Ours = 'none' | 'empty' | 'with a quarter';
const VARIANTS: readonly Ours[] = ['none', 'empty', 'with a quarter'];

export async function libtorrent(lab: Lab): Promise<void> {
  if (spawnSync(PYTHON, ['-c', 'import libtorrent'], { stdio: 'ignore' }).status !== 0) {
    throw new Error('missing Debian package: python3-libtorrent; `apt-get install python3-libtorrent`');
  }
  const torrent = madeUpTorrent(20 * MIB, 256 * 1024);
  const file = join(lab.folder, 'swarm.torrent');
  await writeFile(file, torrent.bytes);
  const took = new Map<Ours, { theirs: number[]; ours: number[] }>(
    VARIANTS.map((ours) => [ours, { theirs: [], ours: [] }]),
  );
  for (let run = 0; run < RUNS; run++) {
    for (const variant of VARIANTS) {
      const { theirs, ours } = await swarm(lab, torrent, file, variant);
      took.get(variant)!.theirs.push(theirs);
      if (ours !== undefined) took.get(variant)!.ours.push(ours);
      await lab.end();
    }
  }
  const alone = quantile(took.get('none')!.theirs, 0.5);
  printTable(
    `libtorrent: ${LEECHERS} leechers of 4 MiB/s with a quarter of 20 MiB each, medians of ${RUNS} interleaved runs`,
    ['ours', 'at full rates', 'all of libtorrent complete', 'against alone', 'ours complete'],
    VARIANTS.map((variant) => {
      const { theirs, ours } = took.get(variant)!;
      const last = quantile(theirs, 0.5);
      return [
        variant,
        seconds(idealOf(torrent.payload.length, variant)),
        seconds(last),
        variant === 'none' ? '' : percent(last / alone - 1),
        ours.length > 0 ? seconds(quantile(ours, 0.5)) : '',
      ];
    }),
  );
}

/** As if everybody uploaded at full rate until all have all, ours included, which an empty one makes later in any case. */
function idealOf(length: number, variant: Ours): number {
  const peers = LEECHERS + (variant === 'none' ? 0 : 1);
  const lacking = LEECHERS * (1 - 1 / LEECHERS) + { none: 0, empty: 1, 'with a quarter': 1 - 1 / LEECHERS }[variant];
  return (lacking * length) / (peers * UPLOAD);
}

async function swarm(
  lab: Lab,
  torrent: SmallTorrent,
  file: string,
  variant: Ours,
): Promise<{ theirs: number; ours: number | undefined }> {
  const quarter = torrent.pieceCount / LEECHERS;
  const folders = await Promise.all(
    Array.from({ length: LEECHERS }, (_, n) => folderWith(lab, torrent, (piece) => Math.floor(piece / quarter) === n)),
  );
  const leechers = await Promise.all(folders.map((folder) => lab.ending(Leecher.start(file, folder))));
  const addresses = leechers.map(({ address }) => address);
  const startedAt = performance.now();
  let ours: Promise<number> | undefined;
  if (variant !== 'none') {
    const out = await folderWith(lab, torrent, (piece) => variant === 'with a quarter' && piece % LEECHERS === 0);
    const client = await Client.start(lab);
    const peers = addresses.map((address) => ({ host: '127.0.0.1', port: Number(address.split(':')[1]) }));
    const run = await client.run(torrent, { out, peers, seed: true, settings: { maxUp: UPLOAD } });
    ours = run.done().then((outcome) => outcome.seconds);
  }
  for (const [n, leecher] of leechers.entries()) leecher.begin(addresses.slice(n + 1));
  await Promise.all(leechers.map((leecher) => leecher.complete()));
  const theirs = (performance.now() - startedAt) / 1000;
  for (const folder of folders) {
    const copy = await readFile(join(folder, torrent.name));
    if (!copy.equals(torrent.payload)) throw new Error('a libtorrent leecher has a wrong copy');
  }
  return { theirs, ours: await ours };
}

/** A folder whose file has some pieces and holes. */
async function folderWith(lab: Lab, torrent: SmallTorrent, has: (piece: number) => boolean): Promise<string> {
  const folder = lab.newPath();
  await mkdir(folder);
  const file = await open(join(folder, torrent.name), 'w');
  try {
    await file.truncate(torrent.payload.length);
    for (let piece = 0; piece < torrent.pieceCount; piece++) {
      const at = piece * torrent.pieceLength;
      if (has(piece)) await file.write(torrent.payload, at, torrent.pieceLength, at);
    }
  } finally {
    await file.close();
  }
  return folder;
}

/** One libtorrent process. */
class Leecher {
  readonly address: string;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(process: ChildProcess, lines: AsyncIterator<string>, address: string) {
    this.#process = process;
    this.#lines = lines;
    this.address = address;
  }

  static async start(torrent: string, folder: string): Promise<Leecher> {
    const args = [SCRIPT, torrent, folder, '--told', '--upload-limit', `${UPLOAD}`];
    const child = spawn(PYTHON, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.on('error', () => {});
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const address = await lineOf(lines, /^address (.+)$/);
    return new Leecher(child, lines, address[1]!);
  }

  begin(peers: readonly string[]): void {
    this.#process.stdin!.write([...peers, 'go', ''].join('\n'));
  }

  async complete(): Promise<void> {
    await lineOf(this.#lines, /^torrent_finished_alert /);
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}

/** @throws Error when the process ends before it prints such a line */
async function lineOf(lines: AsyncIterator<string>, pattern: RegExp): Promise<RegExpExecArray> {
  for (;;) {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`expected libtorrent to print ${pattern}, found its end`);
    const match = pattern.exec(value);
    if (match !== null) return match;
  }
}
