import { expect, it } from 'vitest';
import type { BenchResult, WorkersResult } from '../../../src/bench/bench.js';
import { benchLines } from '../../../src/bench/table.js';
import { SMALL_BENCH } from '../../helpers/bench-settings.js';

const MIB = 2 ** 20;

const same = (value: number) => ({ min: value, median: value, max: value });

function resultOf(...results: WorkersResult[]): BenchResult {
  const machine = { cpu: 'A Processor', cores: 2, load: 0, tmpfs: false };
  return { v: 1, spate: '1.0.0', node: 'v20.19.0', machine, settings: SMALL_BENCH, results, warnings: [] };
}

const TWO_RUNS: WorkersResult = {
  workers: 1,
  runs: [
    { goodput: 100 * MIB, first: 0.02, mainBusy: 0.5 },
    { goodput: 200 * MIB, first: 0.04, mainBusy: 0.25 },
  ],
  spreads: {
    goodput: { min: 100 * MIB, median: 150 * MIB, max: 200 * MIB },
    first: { min: 0.02, median: 0.03, max: 0.04 },
    mainBusy: { min: 0.25, median: 0.375, max: 0.5 },
  },
  ceilings: { hash: 987.6 * MIB, net: 12.34 * MIB },
  verdict: { limit: 'hash', evidence: 'goodput is 90% of its ceiling' },
};

it('has a row for each figure that was measured, its unit last, then the ceilings and the verdict', () => {
  expect(benchLines(resultOf(TWO_RUNS))).toEqual([
    'swarm, 1 worker, 2 runs',
    '                            min   median      max    run 1    run 2',
    'goodput                     100      150      200      100      200  MiB/s',
    'first piece                20.0     30.0     40.0     20.0     40.0  ms',
    'busy, main                 25.0     37.5     50.0     50.0     25.0  %',
    'ceilings: hash 988 MiB/s, net 12.3 MiB/s',
    'limited by hash: goodput is 90% of its ceiling',
    '',
  ]);
});

it('has a ratio to the median of a baseline with as many workers, and none where that is missing or 0', () => {
  const spreads = { goodput: same(300 * MIB), first: same(0) };
  const [, head, goodput, first, busy] = benchLines(resultOf(TWO_RUNS), resultOf({ ...TWO_RUNS, spreads }));
  expect(head).toBe('                            min   median      max    ratio    run 1    run 2');
  expect([goodput, first, busy].map((line) => line!.slice(49, 58).trim())).toEqual(['0.50x', '-', '-']);
  const other = benchLines(resultOf(TWO_RUNS), resultOf({ ...TWO_RUNS, workers: 2 }));
  expect(other).toEqual(benchLines(resultOf(TWO_RUNS)));
});

it('tells of each number of workers, and of a stage alone without ceilings or verdict', () => {
  const stage: WorkersResult = { workers: 2, runs: [{ goodput: 5 }], spreads: { goodput: same(5) }, ceilings: {} };
  expect(benchLines(resultOf(stage, { ...stage, workers: 1 }))).toEqual([
    'swarm, 2 workers, 1 runs',
    '                            min   median      max    run 1',
    'goodput                    0.00     0.00     0.00     0.00  MiB/s',
    '',
    'swarm, 1 worker, 1 runs',
    '                            min   median      max    run 1',
    'goodput                    0.00     0.00     0.00     0.00  MiB/s',
    '',
  ]);
});
