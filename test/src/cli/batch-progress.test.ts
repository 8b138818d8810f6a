import { expect, test } from 'vitest';
import { batchLine, batchLines, type Shown } from '../../../src/cli/batch-progress.js';
import type { DownloadStats } from '../../../src/session.js';
import { displayWidth } from '../../../src/text.js';

const MIB = 1_048_576;

const stats = (downRate: number): DownloadStats => ({
  state: 'downloading',
  length: 4 * MIB,
  checked: 0,
  have: MIB,
  left: 3 * MIB,
  downloaded: MIB,
  uploaded: 0,
  wasted: 0,
  checkRate: 0,
  downRate,
  upRate: 0,
  peers: 1,
  activePeers: 1,
  knownPeers: 1,
});

/** A batch of 30 items, ten of them under way with so many MiB/s. */
function shown(rates: readonly (number | undefined)[] = Array.from({ length: 20 }, (_, n) => n)): Shown {
  const active = rates.map((rate, n) => ({
    name: `t${n}`,
    download: rate === undefined ? undefined : { stats: () => stats(rate * MIB) },
  }));
  return {
    items: { length: 1200 },
    active,
    counts: { queued: 650, waiting: 30, reading: 1, checking: 2, downloading: 93, seeding: 0, over: 424 },
    bytesPerSecond: 412 * MIB,
    tally: { done: 412, failed: 12, downloaded: 1.2 * 1024 * MIB },
  } as unknown as Shown;
}

test('one line counts the items by what they do, those that are none left out', () => {
  expect(batchLine(shown())).toBe('412/1200 done  96 active  650 queued  30 waiting  12 failed  1.2 GiB  412 MiB/s');
});

test('the items that get most have a line of their own, as many as there is room for', () => {
  const lines = batchLines(shown(), { columns: 100, rows: 5 });
  expect(lines.map((line) => line.split(' ')[0])).toEqual(['t19', 't18', 't17', 't16', '412/1200']);
});

test('there are ten of them at most, and none for what is not in the session', () => {
  expect(batchLines(shown(), { columns: 100, rows: 50 })).toHaveLength(11);
  expect(batchLines(shown([undefined, 3]), { columns: 100, rows: 50 })).toHaveLength(2);
});

test('no line is longer than the terminal', () => {
  for (const line of batchLines(shown(), { columns: 30, rows: 5 })) expect(displayWidth(line)).toBeLessThanOrEqual(30);
});
