/** How far downloads are, as lines of text (`progressLines`), and when lines are shown (`showLines`). */
import type { DownloadStats } from '../session.js';
import { displayWidth, truncate } from '../text.js';
import { formatBytes, formatEta, formatPart, formatPercent, formatRate, formatRates } from '../units.js';
import type { Output } from './output.js';

export interface ProgressItem {
  readonly name: string;
  readonly stats: DownloadStats;
}

/** Redraws of a terminal. */
const LIVE_MS = 200;
/** Lines in a log: the first one soon, to show that it works. */
const LOG_FIRST_MS = 2_000;
const LOG_MS = 10_000;
/** A name is not cut shorter than this to make room for figures. */
const MIN_NAME = 12;

/** What is shown: as live lines on a terminal, else as a plain line now and then; nothing when that is `undefined`. */
export interface Lines {
  live(room: Output['room']): readonly string[];
  log(): string | undefined;
}

/** Shows them until it is told to stop. @returns ends it */
export function showLines(output: Output, lines: Lines): () => void {
  if (output.isQuiet) return () => {};
  if (!output.isLive) {
    return repeatedly(LOG_FIRST_MS, LOG_MS, () => {
      const line = lines.log();
      if (line !== undefined) output.note(line);
    });
  }
  const stop = repeatedly(LIVE_MS, LIVE_MS, () => output.live(lines.live(output.room)));
  return () => {
    stop();
    output.live([]);
  };
}

/** Shows how far downloads are. @param items those under way */
export function showProgress(output: Output, items: () => readonly ProgressItem[]): () => void {
  return showLines(output, {
    live: (room) => progressLines(items(), room),
    log: () => logLine(items()),
  });
}

/** Shows one line that somebody else makes. */
export function showFigures(output: Output, line: () => string): () => void {
  return showLines(output, { live: () => [line()], log: line });
}

function logLine(items: readonly ProgressItem[]): string | undefined {
  if (items.length === 0) return undefined;
  return items.length === 1 ? progressLine(items[0]!) : totalLine(items);
}

/** One line for each while they fit, with a total below when there are several; else the total alone. */
export function progressLines(
  items: readonly ProgressItem[],
  room: { readonly columns: number; readonly rows: number },
): string[] {
  if (items.length === 0) return [];
  const lines = items.length === 1 || items.length < room.rows ? items.map((i) => progressLine(i, room.columns)) : [];
  if (items.length > 1) lines.push(truncate(totalLine(items), room.columns));
  return lines;
}

/** `debian-13.iso  42%  1.2/2.9 GiB  118 MiB/s down 2.1 up  57 peers (31 active)  ETA 00:14` */
export function progressLine({ name, stats }: ProgressItem, columns = Number.POSITIVE_INFINITY): string {
  const figures = figuresOf(stats);
  const room = Math.max(MIN_NAME, columns - displayWidth(figures) - 2);
  return truncate(`${truncate(name, room)}  ${figures}`, columns);
}

function figuresOf(stats: DownloadStats): string {
  const { state, length, checked, have, left, downRate, upRate } = stats;
  switch (state) {
    case 'checking':
      return `checking ${formatPercent(checked, length)}  ${formatPart(checked, length)}  ${formatRate(stats.checkRate)}`;
    case 'allocating':
      return `allocating ${formatBytes(checked)}`;
    case 'seeding':
      return `seeding ${formatBytes(have)}  ${formatRate(upRate)} up  ${formatBytes(stats.uploaded)} sent  ${peersOf(stats)}`;
    case 'downloading': {
      const eta = `ETA ${formatEta(left / downRate)}`;
      const rates = formatRates(downRate, upRate);
      return `${formatPercent(have, length)}  ${formatPart(have, length)}  ${rates}  ${peersOf(stats)}  ${eta}`;
    }
    case 'complete':
    case 'failed':
    case 'stopped':
      return `${formatPercent(have, length)}  ${state}`;
  }
}

/** `3 torrents  42%  1.2/2.9 GiB  118 MiB/s down 2.1 up  57 peers (31 active)  ETA 00:14` */
export function totalLine(items: readonly ProgressItem[]): string {
  const sum = (field: Exclude<keyof DownloadStats, 'state'>): number =>
    items.reduce((total, { stats }) => total + stats[field], 0);
  const state = items.every(({ stats }) => stats.state === 'seeding') ? 'seeding' : 'downloading';
  const fields = ['length', 'checked', 'have', 'left', 'downloaded', 'uploaded', 'wasted'] as const;
  const rates = ['checkRate', 'downRate', 'upRate', 'peers', 'activePeers', 'knownPeers'] as const;
  const totals = Object.fromEntries([...fields, ...rates].map((field) => [field, sum(field)]));
  return `${items.length} torrents  ${figuresOf({ state, ...totals } as DownloadStats)}`;
}

function peersOf({ peers, activePeers }: DownloadStats): string {
  return `${peers} peer${peers === 1 ? '' : 's'} (${activePeers} active)`;
}

/** Its timers keep nothing alive. */
function repeatedly(firstMs: number, everyMs: number, run: () => void): () => void {
  let timer = setTimeout(() => {
    run();
    timer = setInterval(run, everyMs).unref();
  }, firstMs).unref();
  return () => clearTimeout(timer);
}
