// The arithmetic that is done for every block that arrives: a checked index, a length, a place.
import { bench, describe } from 'vitest';
import { Geometry } from '../../../src/torrent/geometry.js';

const PIECES = 1000;

describe('Geometry, every block of 1,000 pieces', () => {
  const shapes = [
    ['1 MiB, a power of two', 1_048_576],
    ['1,000,000 B, whose last block is short', 1_000_000],
  ] as const;
  for (const [name, pieceLength] of shapes) {
    const geometry = new Geometry({ length: PIECES * pieceLength - 1234, pieceLength });
    bench(`pieces of ${name}`, () => {
      let sum = 0;
      for (let index = 0; index < PIECES; index++) {
        const piece = geometry.pieceIndex(index)!;
        const blocks = geometry.blocksIn(piece);
        for (let block = 0; block < blocks; block++) {
          const length = geometry.blockLengthOf(piece, block);
          if (!geometry.contains(piece, block * 16_384, length)) throw new Error('outside');
          sum += length;
        }
      }
      if (sum !== geometry.length) throw new Error(`${sum} bytes of ${geometry.length}`);
    });
  }
});
