// The strict guard and the package behind it, on a torrent of 10,000 files.
// @ts-expect-error: it ships no types
import bencode from 'bencode';
import { bench, describe } from 'vitest';
import { decode, encode } from '../../../src/protocol/bencode.js';

const files = Array.from({ length: 10_000 }, (_, i) => ({ length: i, path: ['folder', `file ${i}.bin`] }));
const bytes = encode({ info: { files, name: 'bench', 'piece length': 16_384, pieces: new Uint8Array(20_000) } });

describe('bencode, 10,000 files', () => {
  bench('guard, then the package', () => {
    decode(bytes);
  });
  bench('the package alone', () => {
    bencode.decode(bytes);
  });
});
