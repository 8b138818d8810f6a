// What a small bench is asked for.
import type { BenchSettings } from '../../src/bench/settings.js';

export const SMALL_BENCH: BenchSettings = {
  scenario: 'swarm',
  size: 2 ** 20,
  piece: 65_536,
  files: 1,
  seeders: 2,
  conns: 4,
  workers: [1, 2],
  rttMs: 0,
  seedBytesPerSecond: 0,
  corrupt: 0,
  churnMs: 0,
  storage: 'disk',
  runs: 1,
  warmup: 0,
};
