import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Output } from '../../../src/cli/output.js';
import { type ProgressItem, progressLine, progressLines, showProgress, totalLine } from '../../../src/cli/progress.js';
import type { DownloadStats } from '../../../src/session.js';
import { displayWidth } from '../../../src/text.js';
import { fakeStreams } from '../../helpers/cli-streams.js';

const GIB = 2 ** 30;
const MIB = 2 ** 20;

const STATS: DownloadStats = {
  state: 'downloading',
  length: 2.9 * GIB,
  checked: 0,
  have: 1.2 * GIB,
  left: 1.7 * GIB,
  downloaded: 1.2 * GIB,
  uploaded: 10 * MIB,
  wasted: 0,
  checkRate: 0,
  downRate: 124 * MIB,
  upRate: 2.1 * MIB,
  peers: 57,
  activePeers: 31,
  knownPeers: 200,
};

const item = (name: string, stats: Partial<DownloadStats> = {}): ProgressItem => ({
  name,
  stats: { ...STATS, ...stats },
});

const LINE = 'debian-13.iso  41%  1.2/2.9 GiB  124 MiB/s down 2.1 up  57 peers (31 active)  ETA 00:15';

test('a download shows its share, rates, peers and time to go', () => {
  expect(progressLine(item('debian-13.iso'))).toBe(LINE);
});

test('a download without a byte per second has no end in sight', () => {
  const line = progressLine(item('x', { downRate: 0, upRate: 0, peers: 1, activePeers: 0 }));
  expect(line).toBe('x  41%  1.2/2.9 GiB  0 B/s down 0 up  1 peer (0 active)  ETA --:--');
});

test('checking shows how much has been hashed, and how fast', () => {
  const line = progressLine(item('x', { state: 'checking', checked: 1.45 * GIB, checkRate: 118 * 1_048_576, have: 0 }));
  expect(line).toBe('x  checking 50%  1.4/2.9 GiB  118 MiB/s');
});

test('seeding shows what is given', () => {
  const line = progressLine(item('x', { state: 'seeding', have: 2.9 * GIB, left: 0, peers: 3, activePeers: 2 }));
  expect(line).toBe('x  seeding 2.9 GiB  2.1 MiB/s up  10.0 MiB sent  3 peers (2 active)');
});

test('a long name gives way to the figures, then the line is cut', () => {
  const long = item('a-very-long-name-of-a-torrent-that-goes-on-and-on.iso');
  expect(progressLine(long, 95)).toBe(
    'a-very-long-name-of-…  41%  1.2/2.9 GiB  124 MiB/s down 2.1 up  57 peers (31 active)  ETA 00:15',
  );
  for (const columns of [1, 5, 12, 20, 40, 79, 95, 120, 200]) {
    expect(displayWidth(progressLine(long, columns))).toBeLessThanOrEqual(columns);
  }
});

test('a wide name takes no more columns than there are', () => {
  const wide = item('日本語のとても長い名前のトレント'.repeat(3));
  for (const columns of [20, 79, 80, 120]) {
    expect(displayWidth(progressLine(wide, columns))).toBeLessThanOrEqual(columns);
  }
});

test('several downloads have a line each and their sum below', () => {
  const lines = progressLines([item('one'), item('two', { peers: 3, activePeers: 1 })], { columns: 200, rows: 10 });
  expect(lines).toEqual([
    progressLine(item('one')),
    progressLine(item('two', { peers: 3, activePeers: 1 })),
    '2 torrents  41%  2.4/5.8 GiB  248 MiB/s down 4.2 up  60 peers (32 active)  ETA 00:15',
  ]);
});

test('when the lines do not fit, the sum stands alone', () => {
  const items = ['one', 'two', 'three'].map((name) => item(name));
  expect(progressLines(items, { columns: 200, rows: 4 })).toHaveLength(4);
  expect(progressLines(items, { columns: 200, rows: 3 })).toEqual([totalLine(items)]);
});

test('nothing under way is no line', () => {
  expect(progressLines([], { columns: 80, rows: 24 })).toEqual([]);
});

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test('in a log a line comes after 2 s and then every 10 s', () => {
  const { streams, stderr } = fakeStreams();
  const stop = showProgress(new Output({}, streams), () => [item('debian-13.iso')]);

  vi.advanceTimersByTime(1_999);
  expect(stderr()).toBe('');
  vi.advanceTimersByTime(1);
  expect(stderr()).toBe(`${LINE}\n`);
  vi.advanceTimersByTime(9_999);
  expect(stderr()).toBe(`${LINE}\n`);
  vi.advanceTimersByTime(10_001);
  expect(stderr()).toBe(`${LINE}\n`.repeat(3));
  stop();
  vi.advanceTimersByTime(100_000);
  expect(stderr()).toBe(`${LINE}\n`.repeat(3));
});

test('on a terminal the line is redrawn 5 times a second and erased at the end', () => {
  const { streams, stderr } = fakeStreams({ isTTY: true, columns: 120, rows: 24 });
  const stop = showProgress(new Output({}, streams), () => [item('debian-13.iso')]);

  vi.advanceTimersByTime(1_000);
  expect(stderr()).toBe(`${LINE}\x1b[K${`\r${LINE}\x1b[K`.repeat(4)}`);
  stop();
  expect(stderr().endsWith('\r\x1b[J')).toBe(true);
});

test('with -q there is no progress', () => {
  const { streams, stderr } = fakeStreams({ isTTY: true });
  const stop = showProgress(new Output({ quiet: true }, streams), () => [item('x')]);
  vi.advanceTimersByTime(60_000);
  stop();
  expect(stderr()).toBe('');
});
