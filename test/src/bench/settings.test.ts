import { expect, test } from 'vitest';
import { type BenchSettings, checkSettings } from '../../../src/bench/settings.js';
import { SMALL_BENCH } from '../../helpers/bench-settings.js';

test('sane settings are taken as they are', () => expect(checkSettings(SMALL_BENCH)).toBe(SMALL_BENCH));

test.each<[string, Partial<BenchSettings>]>([
  ['--size must be 16384 to 1099511627776 bytes, got 0', { size: 0 }],
  ['--size must be 16384 to 1099511627776 bytes, got 1099511627777', { size: 2 ** 40 + 1 }],
  ['--piece must be 16384 to 67108864 bytes, got 1099511627776', { piece: 2 ** 40 }],
  ['--piece must be a multiple of 16384 bytes, got 20000', { piece: 20_000 }],
  ['--size and --piece must make at most 1000000 pieces, got 67108864', { size: 2 ** 40, piece: 16_384 }],
  ['--files must be 1 to 20000, got 0', { files: 0 }],
  ['--files must be at most one per 16384 bytes of --size, got 65', { files: 65 }],
  ['--seeders must be 1 to 64, got 0', { seeders: 0 }],
  ['--conns must be 1 to 500, got 501', { conns: 501 }],
  ['--seeders times --conns must be at most 2000, got 32000', { seeders: 64, conns: 500 }],
  ['--workers must be 1 to 64, got 65', { workers: [1, 65] }],
  ['--workers must be 1 to 64, got NaN', { workers: [Number.NaN] }],
  ['--rtt must be 0 to 10000 ms, got 10001', { rttMs: 10_001 }],
  ['--rtt must be 0 to 10000 ms, got -1', { rttMs: -1 }],
  ['--seed-rate must be 0 to 1099511627776 bytes/s, got Infinity', { seedBytesPerSecond: Number.POSITIVE_INFINITY }],
  ['--corrupt must be 0 to 0.5, got 0.6', { corrupt: 0.6 }],
  ['--corrupt needs --seeders of at least 2: one of them lies, got 1', { corrupt: 0.1, seeders: 1 }],
  ['--churn must be 0 to 3600000 ms, got 3600001', { churnMs: 3_600_001 }],
  ['--runs must be 1 to 100, got 0', { runs: 0 }],
  ['--runs must be 1 to 100, got 1.5', { runs: 1.5 }],
  ['--warmup must be 0 to 100, got 101', { warmup: 101 }],
  ['--storage must be disk for upload: what is discarded cannot be read', { storage: 'null', scenario: 'upload' }],
])('refuses with "%s"', (message, settings) => {
  expect(() => checkSettings({ ...SMALL_BENCH, ...settings })).toThrow(
    expect.objectContaining({ code: 'USAGE', message }),
  );
});
