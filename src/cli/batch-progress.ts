/** How far a batch is, as lines of text. */
import type { Batch } from '../batch/batch.js';
import type { Item } from '../batch/item.js';
import { truncate } from '../text.js';
import { formatBytes, formatRate } from '../units.js';
import { type ProgressItem, progressLine } from './progress.js';

/** What is shown of a batch. */
export type Shown = Pick<Batch, 'items' | 'active' | 'counts' | 'tally' | 'bytesPerSecond'>;

/** Most items with a line of their own, however large the terminal. */
const MAX_LINES = 10;

/** The items that get most, one line each, and a line for all. */
export function batchLines(batch: Shown, room: { readonly columns: number; readonly rows: number }): string[] {
  const lines = mostActive(batch.active, Math.min(MAX_LINES, room.rows - 1)).map((each) =>
    progressLine(each, room.columns),
  );
  return [...lines, truncate(batchLine(batch), room.columns)];
}

/** `412/1200 done  96 active  650 queued  30 waiting  12 failed  1.2 GiB  412 MiB/s` */
export function batchLine({ items, counts, tally, bytesPerSecond }: Shown): string {
  const active = counts.reading + counts.checking + counts.downloading;
  const rest: readonly (readonly [number, string])[] = [
    [active, 'active'],
    [counts.seeding, 'seeding'],
    [counts.queued, 'queued'],
    [counts.waiting, 'waiting'],
    [tally.failed, 'failed'],
  ];
  const parts = rest.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  const rate = `${formatBytes(tally.downloaded)}  ${formatRate(bytesPerSecond)}`;
  return [`${tally.done}/${items.length} done`, ...parts, rate].join('  ');
}

function mostActive(items: Iterable<Item>, count: number): ProgressItem[] {
  const shown = [...items].flatMap(({ name, download }) =>
    download === undefined ? [] : [{ name, stats: download.stats() }],
  );
  return shown.sort((a, b) => b.stats.downRate - a.stats.downRate).slice(0, Math.max(0, count));
}
