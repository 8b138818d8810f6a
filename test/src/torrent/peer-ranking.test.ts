import { describe, expect, it } from 'vitest';
import { ExternalAddress } from '../../../src/torrent/external-address.js';
import { PeerRanking } from '../../../src/torrent/peer-ranking.js';

describe('the rank of an address', () => {
  it('is unknown while ours is, and its canonical priority then', () => {
    const external = new ExternalAddress();
    const ranking = new PeerRanking(external, 6881);
    const address = { host: '98.76.54.32', port: 1 };
    expect(ranking.of(address)).toBeUndefined();
    for (const voter of ['198.51.100.1', '198.51.100.2']) external.onClaim(voter, '123.213.32.10');
    expect([ranking.of(address), ranking.of(address)]).toEqual([0xec2d7224, 0xec2d7224]);
    expect(ranking.of({ host: '2001:db8::1', port: 1 })).toBeUndefined();
  });

  it('changes with our address', () => {
    const external = new ExternalAddress('123.213.32.10');
    const ranking = new PeerRanking(external, 6881);
    const address = { host: '123.213.32.234', port: 1 };
    expect(ranking.of(address)).toBe(0x99568189);
    for (const voter of ['198.51.100.1', '198.51.100.2']) external.onClaim(voter, '98.76.54.32');
    expect(ranking.of({ host: '123.213.32.10', port: 1 })).toBe(0xec2d7224);
    expect(ranking.of(address)).not.toBe(0x99568189);
  });

  it('is of the ports for a peer at our own address', () => {
    const ranking = new PeerRanking(new ExternalAddress('203.0.113.9'), 0x4d2);
    // CRC32-C of 01 2c 04 d2.
    expect(ranking.of({ host: '203.0.113.9', port: 0x12c })).toBe(0xae8b7034);
  });
});
