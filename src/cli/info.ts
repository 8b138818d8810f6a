/** `spate info`: what a torrent says. */
import type { Command } from 'commander';
import { SpateError } from '../errors.js';
import type { Metainfo } from '../protocol/metainfo.js';
import { escapeControls, hex, jsonLine } from '../text.js';
import { formatBytes } from '../units.js';
import { EXIT, exitCodeOf } from './exit-codes.js';
import { addOutputFlags, addTorrentArgument, type OutputFlags } from './flags.js';
import { Output } from './output.js';

export function addInfo(program: Command): void {
  const command = addTorrentArgument(program.command('info').description('show what a torrent says'));
  command.option('--scrape', 'ask its trackers how many seeders and leechers there are');
  addOutputFlags(command).action(async (source: string, flags: InfoFlags) => {
    const code = await info(source, flags);
    // stdout may have been lost meanwhile.
    process.exitCode ??= code;
  });
}

interface InfoFlags extends OutputFlags {
  readonly scrape?: boolean;
}

async function info(source: string, flags: InfoFlags): Promise<number> {
  const output = new Output(flags);
  try {
    const { readTorrent } = await import('./sources.js');
    const metainfo = await readTorrent(source);
    if (!flags.json) for (const line of infoLines(metainfo)) output.data(line);
    const scraped = flags.scrape === true ? await scrape(metainfo, flags, output) : undefined;
    if (flags.json) output.data(jsonLine({ ...infoJson(metainfo), ...(scraped && { scrape: scraped.json }) }));
    if (scraped?.answers === 0) throw new SpateError('UNAVAILABLE', 'no tracker tells how large the swarm is');
    return EXIT.ok;
  } catch (error) {
    output.error(error);
    return exitCodeOf(error);
  }
}

async function scrape(metainfo: Metainfo, { json }: InfoFlags, output: Output) {
  const { scrapeAll, scrapeJson, scrapeLines } = await import('./scrape.js');
  const scraped = await scrapeAll(metainfo);
  const lines = json ? [] : scrapeLines(scraped);
  if (lines.length > 0) for (const line of ['', ...lines]) output.data(escapeControls(line));
  for (const { url, error } of scraped) if (error !== undefined) output.warning(`tracker ${url}: ${error}`);
  return { json: scrapeJson(scraped), answers: scraped.filter(({ counts }) => counts !== undefined).length };
}

/** For `--json`: lengths in bytes, the date in seconds since 1970. Indices count from 1 and include pad files, which are not listed. */
export function infoJson(metainfo: Metainfo): Record<string, unknown> {
  const { name, length, pieceLength, trackers, comment, createdBy, creationDate } = metainfo;
  return {
    infohash: hex(metainfo.infohash),
    name,
    length,
    pieceLength,
    pieces: pieceCount(metainfo),
    private: metainfo.private,
    files: listed(metainfo),
    trackers,
    ...(comment !== undefined && { comment }),
    ...(createdBy !== undefined && { createdBy }),
    ...(creationDate !== undefined && { creationDate }),
  };
}

/** For people: the facts, then the files. Control characters are written out. */
export function infoLines(metainfo: Metainfo): string[] {
  const { name, length, pieceLength, trackers, comment, createdBy, creationDate } = metainfo;
  const facts: [string, string | undefined][] = [
    ['name', name],
    ['infohash', hex(metainfo.infohash)],
    ['length', `${formatBytes(length)} (${length} bytes)`],
    ['pieces', `${pieceCount(metainfo)} of ${formatBytes(pieceLength)}`],
    ['private', metainfo.private ? 'yes' : 'no'],
    ['created', creationDate === undefined ? undefined : dateText(creationDate)],
    ['created by', createdBy],
    ['comment', comment],
    ...trackers.map((tier, i): [string, string] => [`tracker ${i + 1}`, tier.join('  ')]),
  ];
  const labelled = facts.flatMap(([label, text]) =>
    text === undefined ? [] : [`${label.padEnd(12)}${escapeControls(text)}`],
  );
  return [...labelled, '', ...fileLines(metainfo)];
}

function fileLines(metainfo: Metainfo): string[] {
  const files = listed(metainfo).map(({ index, length, path, originalPath, symlink, executable }) => {
    const notes = [
      ...(symlink === undefined ? [] : [`-> ${symlink}`]),
      ...(executable ? ['(executable)'] : []),
      ...(originalPath === undefined ? [] : [`(in the torrent: ${originalPath})`]),
    ];
    return { index: String(index), size: formatBytes(length), path: escapeControls([path, ...notes].join('  ')) };
  });
  const indexWidth = Math.max(1, ...[files.at(-1)?.index.length ?? 1]);
  const sizeWidth = files.reduce((width, { size }) => Math.max(width, size.length), 'size'.length);
  const row = (index: string, size: string, path: string): string =>
    `${index.padStart(indexWidth)}  ${size.padStart(sizeWidth)}  ${path}`;
  return [row('#', 'size', 'path'), ...files.map(({ index, size, path }) => row(index, size, path))];
}

/** A file that is on disk. */
interface Listed {
  /** Its place in the torrent, from 1 on. */
  readonly index: number;
  readonly path: string;
  readonly length: number;
  /** As the torrent says it, where it is another. */
  readonly originalPath?: string;
  readonly executable?: boolean;
  /** What it points to. */
  readonly symlink?: string;
}

function listed(metainfo: Metainfo): Listed[] {
  return metainfo.files.flatMap(({ path, length, pad, originalPath, executable, symlink }, i) => {
    if (pad) return [];
    return [
      {
        index: i + 1,
        path: path.join('/'),
        length,
        ...(originalPath !== undefined && { originalPath: originalPath.join('/') }),
        ...(executable && { executable }),
        ...(symlink !== undefined && { symlink: symlink.join('/') }),
      },
    ];
  });
}

function pieceCount({ pieceHashes }: Metainfo): number {
  return pieceHashes.length / 20;
}

/** A number too large for a date is shown as it is. */
function dateText(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
