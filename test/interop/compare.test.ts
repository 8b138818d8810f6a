// One small race of every client that `spate bench compare` knows, with the C seeder: each is found, told what to do, known to be
// done, and what it made is compared byte by byte. How fast they are is of no concern here.
import { readdir } from 'node:fs/promises';
import { expect, it } from 'vitest';
import type { Comparison } from '../../src/bench/comparison.js';
import { inLab } from './lab.js';
import { expectPackages } from './packages.js';
import { spateCompare } from './spate.js';
import { newFolder } from './task.js';

const RIVALS = ['aria2c', 'libtorrent', 'transmission', 'qbittorrent-nox', 'floor'];

it('spate bench compare races every client it knows, and leaves nothing behind', async () => {
  expectPackages();
  await inLab(async (lab) => {
    const dir = await newFolder(lab, 'race');
    const size = ['--size', '24MiB', '--piece', '256KiB', '--runs', '1', '--warmup', '0', '--seeds', '2'];
    const comparison: Comparison = await spateCompare(lab, ['--with', RIVALS.join(), '--dir', dir, ...size]);

    expect(comparison).toMatchObject({ seeder: 'cseed', seeds: 2, missing: [] });
    expect(comparison.contenders.map(({ name, voids }) => ({ name, voids }))).toEqual(
      ['spate', ...RIVALS].map((name) => ({ name, voids: [] })),
    );
    for (const { name, runs } of comparison.contenders) {
      expect(runs).toHaveLength(1);
      // The floor is over in a few clock ticks.
      if (name !== 'floor') expect(runs[0]!.cpuSeconds).toBeGreaterThan(0);
    }
    expect(await readdir(dir)).toEqual([]);
  });
});
