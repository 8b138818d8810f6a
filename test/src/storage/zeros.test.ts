import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { afterZeros, isZero, sha1Of, sha1OfZeros } from '../../../src/storage/zeros.js';

it.each([
  [[], false],
  [[0], true],
  [[1], false],
  [[0, 0, 0], true],
  [[0, 0, 1], false],
  [[1, 0, 0], false],
  [[7, 7, 7], false],
])('%j: are there bytes and all are 0? %s', (bytes, zero) => {
  expect(isZero(Uint8Array.from(bytes))).toBe(zero);
});

it('the hash of zeros is that of as many, whatever was asked for before', () => {
  for (const length of [3, 3, 1_048_576, 2_500_000, 0, 3]) {
    const digest = createHash('sha1').update(Buffer.alloc(length)).digest();
    expect(sha1OfZeros(length)).toEqual(digest);
    expect(sha1Of(new Uint8Array(length))).toEqual(digest);
  }
  expect(sha1Of(Buffer.from('abc')).toString('hex')).toBe('a9993e364706816aba3e25717850c26c9cd0d89d');
});

it('a hash goes on after zeros', () => {
  const bytes = Buffer.concat([Buffer.alloc(1_100_000), Buffer.from('end')]);
  expect(afterZeros(1_100_000).update('end').digest()).toEqual(createHash('sha1').update(bytes).digest());
});
