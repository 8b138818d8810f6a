import { describe, expect, it } from 'vitest';
import { comparisonTable, courseText, figure, markdownReport } from '../../../src/bench/comparison-table.js';
import { contender, sampleComparison } from '../../helpers/bench-comparison.js';

const MIB = 1_048_576;

describe('comparisonTable', () => {
  it('has a row for each client: median and spread, and ratios to the first', () => {
    const ours = contender('spate', [2, 1, 4], [2, 2, 2], [100 * MIB, 100 * MIB, 100 * MIB]);
    const other = { ...contender('other', [4, 2, 8], [3, 3, 3]), voids: [{ round: 4, reason: 'gone' }] };
    const nobody = { ...contender('nobody', []), voids: [{ round: 1, reason: 'gone' }] };
    expect(comparisonTable(sampleComparison([ours, other, nobody]))).toEqual({
      head: ['client', 'MiB/s', 'wall s', 'CPU s/GiB', 'peak RSS MiB', 'time × spate', 'CPU × spate', 'runs'],
      rows: [
        ['spate', '512 (256–1024)', '2.00 (1.00–4.00)', '2.00', '100', '1.00', '1.00', '3'],
        ['other', '256 (128–512)', '4.00 (2.00–8.00)', '3.00', '0.00', '2.00', '1.50', '3, 1 void'],
        ['nobody', '–', '–', '–', '–', '–', '–', '0, 1 void'],
      ],
    });
  });
});

describe('markdownReport', () => {
  it('is a table with what it was measured with below', () => {
    const missing = [{ name: 'floor', reason: 'gcc is not installed' }];
    const lines = markdownReport(sampleComparison([contender('spate', [1]), contender('other', [2])], missing)).split(
      '\n',
    );
    expect(lines.slice(0, 4)).toEqual([
      '| client | MiB/s | wall s | CPU s/GiB | peak RSS MiB | time × spate | CPU × spate | runs |',
      '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
      '| spate | 1024 | 1.00 | 1.00 | 0.00 | 1.00 | 1.00 | 1 |',
      '| other | 512 | 2.00 | 2.00 | 0.00 | 2.00 | 2.00 | 1 |',
    ]);
    expect(lines).toContain('- other: other 1.0; `other {torrent}`');
    expect(lines).toContain('- floor did not take part: gcc is not installed');
  });

  it('takes nothing from a version, a command or a reason for markup', () => {
    const evil = {
      ...contender('evil', [1]),
      version: '1|2 <b>*x*</b>\n| row |',
      command: 'a ``b`` `c`\n# head',
      voids: [{ round: 2, reason: '[link](x)\n- item' }],
    };
    const lines = markdownReport(sampleComparison([evil])).split('\n');
    expect(lines).toContain('- evil: 1\\|2 \\<b\\>\\*x\\*\\</b\\> \\| row \\|; ``` a ``b`` `c` # head ```');
    expect(lines).toContain('- evil, round 2, is void: \\[link\\](x) - item');
  });
});

describe('courseText', () => {
  it('says what every client was given', () => {
    expect(courseText(sampleComparison([]))).toBe(
      '1024 MiB in pieces of 256 KiB from one seed (cseed) on loopback, ext4; 3 interleaved rounds after 1 discarded',
    );
    const several = { ...sampleComparison([]), seeds: 4, rounds: 1, warmup: 0, pieceLength: 2 * MIB };
    expect(courseText(several)).toBe(
      '1024 MiB in pieces of 2 MiB from 4 seeds (cseed) on loopback, ext4; 1 interleaved round',
    );
  });
});

describe('figure', () => {
  it('has three digits that count', () => {
    expect([1234.5, 123.45, 12.345, 1.2345, 0.01234].map(figure)).toEqual(['1235', '123', '12.3', '1.23', '0.01']);
  });
});
