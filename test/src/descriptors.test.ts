import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openFileLimit, withinDescriptors } from '../../src/descriptors.js';
import { DEFAULTS, resolveOptions } from '../../src/options.js';

/** As Linux writes it. */
const limits = (soft: string): string =>
  [
    'Limit                     Soft Limit           Hard Limit           Units     ',
    'Max processes             63432                63432                processes ',
    `Max open files            ${soft.padEnd(20)} 1048576              files     `,
    'Max locked memory         8388608              8388608              bytes     ',
  ].join('\n');

describe('the open-file limit', () => {
  it('is the soft one of the process', () => {
    expect(openFileLimit(() => limits('256'))).toBe(256);
  });

  it.each([
    ['there is none', () => limits('unlimited')],
    ['the text is another', () => 'nothing'],
    [
      'there is no such file',
      () => {
        throw new Error('ENOENT');
      },
    ],
  ])('is unknown when %s', (_, read) => {
    expect(openFileLimit(read)).toBeUndefined();
  });

  it.runIf(process.platform === 'linux')('is that of this process on Linux', () => {
    expect(openFileLimit()).toBeGreaterThan(0);
  });
});

describe('the options of a session', () => {
  const within = (limit: number | undefined, workers = 2, given = {}) => {
    const { maxPeers, strangers, openFiles } = withinDescriptors(resolveOptions(given), given, limit, workers);
    return { maxPeers, strangers, openFiles };
  };

  it('stay as they are where the limit is high or unknown', () => {
    expect(within(1_048_576)).toEqual({ maxPeers: 2000, strangers: 1000, openFiles: 128 });
    expect(within(undefined)).toEqual({ maxPeers: 2000, strangers: 1000, openFiles: 128 });
  });

  it('leave peers 60% of a low limit, and less where threads need much of it', () => {
    expect(within(1024)).toEqual({ maxPeers: 614, strangers: 176, openFiles: 58 });
    expect(within(256)).toEqual({ maxPeers: 148, strangers: 25, openFiles: 8 });
    expect(within(256, 16)).toEqual({ maxPeers: 54, strangers: 9, openFiles: 1 });
    expect(within(64, 16)).toEqual({ maxPeers: 1, strangers: 1, openFiles: 1 });
  });

  it('obey whoever knows better', () => {
    expect(within(1024, 2, { maxPeers: 900 })).toEqual({ maxPeers: 900, strangers: 33, openFiles: 11 });
    expect(within(256, 2, { openFiles: 50, strangers: 90 })).toEqual({ maxPeers: 148, strangers: 90, openFiles: 50 });
  });

  it('never add up to more than the limit, where it leaves anything at all', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 1, max: 64 }), (limit, workers) => {
        const { maxPeers, strangers, openFiles } = within(limit, workers);
        for (const each of [maxPeers, strangers, openFiles]) expect(each).toBeGreaterThanOrEqual(1);
        expect(maxPeers).toBeLessThanOrEqual(Math.max(1, Math.min(DEFAULTS.maxPeers, limit * 0.6)));
        const least = 40 + 9 * workers + 2 + (workers + 1);
        const used = 40 + 9 * workers + maxPeers + strangers + openFiles * (workers + 1);
        if (openFiles > 1) expect(used).toBeLessThanOrEqual(limit);
        else expect(used).toBeLessThanOrEqual(Math.max(least, limit + workers + 1));
      }),
    );
  });
});
