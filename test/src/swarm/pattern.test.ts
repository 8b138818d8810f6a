import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { Pattern } from '../../../src/swarm/pattern.js';

const sha1 = (parts: Iterable<Uint8Array>): string => {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

test.each([16_384, 32_768, 65_536])(
  'hashes of pieces of %i bytes are those of their bytes, a short last one too',
  (pieceLength) => {
    const pattern = new Pattern('seed', pieceLength);
    const length = 130 * pieceLength + 5_000;
    const hashes = Buffer.from(pattern.hashes(length, 7));
    expect(hashes.length).toBe(131 * 20);
    for (let i = 0; i <= 130; i++) {
      const bytes = Math.min(pieceLength, length - i * pieceLength);
      expect(hashes.toString('hex', i * 20, i * 20 + 20)).toBe(sha1(pattern.blocks(7 + i, bytes)));
    }
  },
);

test('pieces all differ', () => {
  const hashes = Buffer.from(new Pattern('seed', 32_768).hashes(1_000 * 32_768));
  const seen = new Set(Array.from({ length: 1_000 }, (_, i) => hashes.toString('hex', i * 20, i * 20 + 20)));
  expect(seen.size).toBe(1_000);
});

test('blocks follow from seed and index, and a wrong one is another', () => {
  const block = new Pattern('seed', 65_536).block(3, 2, 16_384);
  expect(block.length).toBe(16_384);
  expect(Buffer.compare(block, new Pattern('seed', 65_536).block(3, 2, 16_384))).toBe(0);
  expect(Buffer.compare(block, new Pattern('other', 65_536).block(3, 2, 16_384))).not.toBe(0);
  expect(Buffer.compare(block, new Pattern('seed', 65_536).block(3, 2, 16_384, true))).not.toBe(0);
});
