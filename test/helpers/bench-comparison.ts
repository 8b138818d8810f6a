// A comparison made up by hand, for tests of how it is told.
import type { Comparison, Contender } from '../../src/bench/comparison.js';

export const GIB = 2 ** 30;

/** One run for each of the figures. */
export function contender(
  name: string,
  seconds: readonly number[],
  cpuSeconds: readonly number[] = seconds,
  peakRssBytes: readonly number[] = seconds,
): Contender {
  const runs = seconds.map((value, i) => ({
    round: i + 1,
    seconds: value,
    cpuSeconds: cpuSeconds[i]!,
    peakRssBytes: peakRssBytes[i]!,
  }));
  return { name, version: `${name} 1.0`, command: `${name} {torrent}`, runs, voids: [] };
}

export function sampleComparison(contenders: readonly Contender[], missing: Comparison['missing'] = []): Comparison {
  return {
    startedAt: '2026-01-02T03:04:05.678Z',
    machine: {
      cpu: 'A Processor',
      cores: 2,
      memoryBytes: 8 * GIB,
      freeBytes: GIB,
      system: 'Linux 6.1 x64',
      node: 'v20.19.0',
      load: 0.5,
    },
    size: GIB,
    pieceLength: 262_144,
    seeds: 1,
    seeder: 'cseed',
    storage: 'ext4',
    rounds: 3,
    warmup: 1,
    contenders,
    missing,
  };
}
