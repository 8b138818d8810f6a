/** `spate verify`: hashes what is on disk and names what is bad. Changes nothing. */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { factsOf } from '../errors.js';
import type { Metainfo } from '../protocol/metainfo.js';
import type { FileDamage } from '../storage/damage.js';
import type { FileSelection } from '../storage/selection.js';
import { escapeControls, hex, jsonLine } from '../text.js';
import type { Bitfield } from '../torrent/bitfield.js';
import { formatBytes, formatPart, formatPercent, formatRate, formatSeconds } from '../units.js';
import { EXIT } from './exit-codes.js';
import {
  addDataArguments,
  addOutputFlags,
  addSelectFlags,
  type OutputFlags,
  type SelectFlags,
  selectionOf,
} from './flags.js';
import { rounded } from './job.js';
import { runOrderly } from './orderly.js';
import { Output } from './output.js';
import { showFigures } from './progress.js';

/** Data were looked at and some are not as the torrent says. */
const BAD_DATA = 6;

interface Verdict {
  readonly metainfo: Metainfo;
  /** Pieces judged, and those of them that are good. */
  readonly pieces: number;
  readonly good: number;
  readonly damage: readonly FileDamage[];
  readonly seconds: number;
}

export function addVerify(program: Command): void {
  const command = program
    .command('verify')
    .description('hash what is on disk and name what is missing or bad; changes nothing');
  addDataArguments(command);
  addSelectFlags(command);
  addOutputFlags(command).action(async (source: string, dir: string, flags: OutputFlags & SelectFlags) => {
    process.exitCode ??= await verify(source, dir, flags);
  });
}

async function verify(source: string, dir: string, flags: OutputFlags & SelectFlags): Promise<number> {
  const output = new Output(flags);
  let own: number = EXIT.ok;
  const ended = await runOrderly(output, async (signal) => {
    const { readTorrent } = await import('./sources.js');
    const metainfo = await readTorrent(source, signal);
    const verdict = await judge(metainfo, dir, selectionOf(flags), output, signal);
    if (verdict.damage.length > 0 || verdict.good < verdict.pieces) own = BAD_DATA;
    if (flags.json) output.data(jsonLine(verdictJson(verdict, dir, own)));
    else tell(verdict, dir, output);
  });
  const exitCode = ended.exitCode(own);
  if (flags.json && ended.failure !== undefined) {
    output.data(jsonLine({ type: 'verify', exitCode, error: factsOf(ended.failure) }));
  }
  ended.leave();
  return exitCode;
}

async function judge(
  metainfo: Metainfo,
  root: string,
  select: FileSelection | undefined,
  output: Output,
  signal: AbortSignal,
): Promise<Verdict> {
  const { Geometry } = await import('../torrent/geometry.js');
  const { Selection } = await import('../storage/selection.js');
  const { diskTable } = await import('../storage/part-file.js');
  const { verifyFiles } = await import('../storage/verify.js');
  const { findDamage } = await import('../storage/damage.js');
  const startedAt = performance.now();
  const { infohash, files, pieceHashes, name, length } = metainfo;
  const geometry = new Geometry(metainfo);
  const selection = new Selection(files, geometry, select);
  const table = diskTable({ root, infohash, files, geometry, wanted: selection.files, readonly: false });
  let done = 0;
  const hide = showFigures(output, () => {
    const rate = (done / (performance.now() - startedAt)) * 1000;
    return `${name}  ${formatPercent(done, length)}  ${formatPart(done, length)}  ${formatRate(rate)}`;
  });
  let good: Bitfield;
  try {
    good = await verifyFiles({
      root,
      files: table,
      geometry,
      hashes: pieceHashes,
      threads: availableParallelism(),
      signal,
      onProgress: (bytes) => {
        done = bytes;
      },
    });
  } finally {
    hide();
  }
  const damage = findDamage(root, files, geometry, good, selection.files);
  const judged = [...selection.pieces];
  const seconds = (performance.now() - startedAt) / 1000;
  return { metainfo, pieces: judged.length, good: judged.filter((piece) => good.has(piece)).length, damage, seconds };
}

/** For `--json`: sizes in bytes; ranges have both ends in. */
function verdictJson({ metainfo, pieces, good, damage, seconds }: Verdict, dir: string, exitCode: number) {
  return {
    type: 'verify',
    exitCode,
    infohash: hex(metainfo.infohash),
    name: metainfo.name,
    path: resolve(dir, metainfo.name),
    pieces: { good, of: pieces },
    seconds: rounded(seconds),
    files: damage.map(({ index, problem, size, pieces, bytes }) => {
      const { path, length } = metainfo.files[index]!;
      return { index: index + 1, path: path.join('/'), problem, length, size, pieces, bytes };
    }),
  };
}

function tell({ metainfo, pieces, good, damage, seconds }: Verdict, dir: string, output: Output): void {
  for (const { index, problem, size, pieces, bytes } of damage) {
    const { path, length } = metainfo.files[index]!;
    const sizes = problem === 'short' || problem === 'long' ? ` (expected ${length} bytes, found ${size})` : '';
    const where = pieces.length === 0 ? '' : `: pieces ${rangesText(pieces)}, bytes ${rangesText(bytes)}`;
    output.data(escapeControls(`${problem.padEnd(7)}  ${path.join('/')}${sizes}${where}`));
  }
  const figures = `${good} of ${pieces} pieces of ${resolve(dir, metainfo.name)}`;
  const time = `${formatBytes(metainfo.length)} in ${formatSeconds(seconds)}`;
  if (damage.length === 0 && good === pieces) output.success('good', `${figures}, ${time}`);
  else output.data(escapeControls(`bad ${figures} are good, ${damage.length} files are not, ${time}`));
}

/** `1-3,7` */
function rangesText(ranges: readonly (readonly [number, number])[]): string {
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}
