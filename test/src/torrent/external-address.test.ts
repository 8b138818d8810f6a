import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExternalAddress } from '../../../src/torrent/external-address.js';

const voter = (n: number): string => `198.51.100.${n}`;

describe('our address', () => {
  it('is unknown until two peers say the same', () => {
    const external = new ExternalAddress();
    expect(external.of(4)).toBeUndefined();
    external.onClaim(voter(1), '203.0.113.5');
    external.onClaim(voter(1), '203.0.113.5');
    expect(external.of(4)).toBeUndefined();
    external.onClaim(voter(2), '203.0.113.5');
    expect(external.of(4)).toBe('203.0.113.5');
    expect(external.of(6)).toBeUndefined();
  });

  it('is what more than half of the peers say', () => {
    const external = new ExternalAddress();
    for (const n of [1, 2, 3]) external.onClaim(voter(n), '203.0.113.5');
    for (const n of [4, 5, 6]) external.onClaim(voter(n), '203.0.113.66');
    expect(external.of(4)).toBeUndefined();
    external.onClaim(voter(7), '203.0.113.5');
    expect(external.of(4)).toBe('203.0.113.5');
  });

  it('is the one that is listened on while peers do not agree, in its family', () => {
    const external = new ExternalAddress('203.0.113.9');
    expect([external.of(4), external.of(6)]).toEqual(['203.0.113.9', undefined]);
    for (const n of [1, 2]) external.onClaim(voter(n), '203.0.113.5');
    expect(external.of(4)).toBe('203.0.113.5');
  });

  it('is not what a crowd behind one address says', () => {
    const external = new ExternalAddress();
    for (const n of [1, 2]) external.onClaim(voter(n), '203.0.113.5');
    for (let i = 0; i < 1_000; i++) external.onClaim(voter(66), `203.0.113.${66 + (i % 2)}`);
    expect(external.of(4)).toBe('203.0.113.5');
  });

  it('is learned anew when it changes, by those that came last', () => {
    const external = new ExternalAddress();
    for (let n = 0; n < 200; n++) external.onClaim(voter(n), '203.0.113.5');
    for (let n = 0; n < 17; n++) external.onClaim(voter(n), '203.0.113.6');
    expect(external.of(4)).toBe('203.0.113.6');
  });

  it.each(['127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', 'junk', '', '2001:db8::1'])(
    'is never %s by the word of an IPv4 peer',
    (claim) => {
      const external = new ExternalAddress();
      for (const n of [1, 2, 3]) external.onClaim(voter(n), claim);
      expect([external.of(4), external.of(6)]).toEqual([undefined, undefined]);
    },
  );

  it.each(['::', '::1', 'ff02::1', '192.0.2.1'])('is never %s by the word of an IPv6 peer', (claim) => {
    const external = new ExternalAddress();
    for (const n of [1, 2, 3]) external.onClaim(`2001:db8::${n}`, claim);
    expect([external.of(4), external.of(6)]).toEqual([undefined, undefined]);
  });

  it('is what a majority of the latest votes says, whatever is claimed', () => {
    const claims = fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 3 })), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(claims, (all) => {
        const external = new ExternalAddress();
        let votes: [number, number][] = [];
        for (const [who, what] of all) {
          external.onClaim(voter(who), `203.0.113.${what}`);
          votes = [...votes.filter(([each]) => each !== who), [who, what] as [number, number]].slice(-32);
          const winner = [1, 2, 3].find((each) => {
            const count = votes.filter(([, vote]) => vote === each).length;
            return count >= 2 && count * 2 > votes.length;
          });
          expect(external.of(4)).toBe(winner === undefined ? undefined : `203.0.113.${winner}`);
        }
      }),
    );
  });
});
