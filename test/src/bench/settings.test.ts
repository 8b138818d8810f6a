import { expect, test } from 'vitest';
import { type BenchSettings, checkSettings } from '../../../src/bench/settings.js';

const GOOD: BenchSettings = {
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

test('sane settings are taken as they are', () => expect(checkSettings(GOOD)).toBe(GOOD));

test.each<[string, Partial<BenchSettings>]>([
  ['--size must be 16384 to', { size: 0 }],
  ['--piece must be 16384 to', { piece: 2 ** 40 }],
  ['--piece must be a multiple', { piece: 20_000 }],
  ['--size and --piece must make at most', { size: 2 ** 40, piece: 16_384 }],
  ['--files must be at most one per', { files: 65 }],
  ['--seeders must be 1 to 64, got 0', { seeders: 0 }],
  ['--seeders times --conns', { seeders: 64, conns: 500 }],
  ['--workers must be 1 to 64, got 65', { workers: [1, 65] }],
  ['--workers must be 1 to 64, got NaN', { workers: [Number.NaN] }],
  ['--rtt must be', { rttMs: 10_001 }],
  ['--corrupt must be', { corrupt: 0.6 }],
  ['--corrupt needs --seeders', { corrupt: 0.1, seeders: 1 }],
  ['--runs must be', { runs: 0 }],
  ['--runs must be', { runs: 1.5 }],
  ['--storage must be disk', { storage: 'null', scenario: 'upload' }],
])('refuses with "%s"', (message, settings) => {
  expect(() => checkSettings({ ...GOOD, ...settings })).toThrow(message);
});
