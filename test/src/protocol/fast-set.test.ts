import { describe, expect, it } from 'vitest';
import { fastSet } from '../../../src/protocol/fast-set.js';

const infohash = new Uint8Array(20).fill(0xaa);

describe('the allowed fast set', () => {
  it('is the one that BEP 6 gives as its example', () => {
    expect(fastSet(infohash, '80.4.4.200', 1313, 7)).toEqual([1059, 431, 808, 1217, 287, 376, 1188]);
    expect(fastSet(infohash, '80.4.4.200', 1313, 9)).toEqual([1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
  });

  it('depends on the first three octets alone, so that a peer behind a NAT gains nothing', () => {
    expect(fastSet(infohash, '80.4.4.1', 1313)).toEqual(fastSet(infohash, '80.4.4.200', 1313));
    expect(fastSet(infohash, '80.4.5.200', 1313)).not.toEqual(fastSet(infohash, '80.4.4.200', 1313));
  });

  it('is no larger than the torrent, and empty for IPv6, which BEP 6 leaves out', () => {
    expect(fastSet(infohash, '80.4.4.200', 3).sort()).toEqual([0, 1, 2]);
    expect(fastSet(infohash, '80.4.4.200', 0)).toEqual([]);
    expect(fastSet(infohash, '2001:db8::1', 1313)).toEqual([]);
  });
});
