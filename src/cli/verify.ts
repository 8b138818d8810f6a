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
/** Some could not be looked at, and of the others none is bad. */
const UNREADABLE = 8;

interface Verdict {
  readonly metainfo: Metainfo;
  /** Pieces judged, and those of them that are good. */
  readonly pieces: number;
  readonly good: number;
  readonly damage: readonly FileDamage[];
  /** Nothing is known to be bad. */
  readonly isUnjudged: boolean;
  /** Bytes of the files that are asked about. */
  readonly length: number;
  readonly seconds: number;
}

export function addVerify(program: Command): void {
  const command = program
    .command('verify')
    .description(
      'hash what is on disk and name what is missing, bad or unreadable; changes nothing. Symlinks and executable bits are not looked at',
    );
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
    own = codeOf(verdict);
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

function codeOf({ damage, isUnjudged, good, pieces }: Verdict): number {
  if (damage.length === 0) return good === pieces ? EXIT.ok : BAD_DATA;
  return isUnjudged ? UNREADABLE : BAD_DATA;
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
  const { findDamage, isUnjudged } = await import('../storage/damage.js');
  const { Bitfield: Pieces } = await import('../torrent/bitfield.js');
  const startedAt = performance.now();
  const { infohash, files, pieceHashes, name, length } = metainfo;
  const geometry = new Geometry(metainfo);
  const selection = new Selection(files, geometry, select);
  const table = diskTable({ root, infohash, files, geometry, wanted: selection.files, readonly: select === undefined });
  // Nobody asks about the others.
  const judged = new Pieces(geometry.pieceCount);
  for (const piece of geometry.pieces()) if (!selection.pieces.has(piece)) judged.set(piece);
  const unread = new Map<string, string>();
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
      judged,
      threads: availableParallelism(),
      signal,
      onUnread: (file, error) => unread.set(file.path.join('/'), error.message),
      onProgress: (bytes) => {
        done = bytes;
      },
    });
  } finally {
    hide();
  }
  const damage = findDamage(root, files, geometry, good, selection.files, unread);
  const chosen = [...selection.pieces];
  const seconds = (performance.now() - startedAt) / 1000;
  const counts = { pieces: chosen.length, good: chosen.filter((piece) => good.has(piece)).length };
  return { metainfo, ...counts, damage, isUnjudged: isUnjudged(damage), length: selection.length, seconds };
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
    files: damage.map(({ index, problem, reason, size, pieces, bytes }) => {
      const { path, length } = metainfo.files[index]!;
      return { index: index + 1, path: path.join('/'), problem, reason, length, size, pieces, bytes };
    }),
  };
}

function tell({ metainfo, pieces, good, damage, length: total, seconds }: Verdict, dir: string, output: Output): void {
  for (const { index, problem, reason, size, pieces, bytes } of damage) {
    const { path, length } = metainfo.files[index]!;
    const sizes = problem === 'short' || problem === 'long' ? ` (expected ${length} bytes, found ${size})` : '';
    const why = reason === undefined ? '' : ` (${reason})`;
    const where = pieces.length === 0 ? '' : `: pieces ${rangesText(pieces)}, bytes ${rangesText(bytes)}`;
    output.data(escapeControls(`${problem.padEnd(7)}  ${path.join('/')}${sizes}${why}${where}`));
  }
  const figures = `${good} of ${pieces} pieces of ${resolve(dir, metainfo.name)}`;
  const time = `${formatBytes(total)} in ${formatSeconds(seconds)}`;
  if (damage.length === 0 && good === pieces) output.success('good', `${figures}, ${time}`);
  else output.data(escapeControls(`bad ${figures} are good, ${damage.length} files are not, ${time}`));
}

/** `1-3,7` */
function rangesText(ranges: readonly (readonly [number, number])[]): string {
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}
