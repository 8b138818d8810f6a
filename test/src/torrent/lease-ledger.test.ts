import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Geometry, type PieceIndex } from '../../../src/torrent/geometry.js';
import { LeaseLedger } from '../../../src/torrent/lease-ledger.js';

const geometry = new Geometry({ length: 100, pieceLength: 1 });
const at = (piece: number): PieceIndex => geometry.pieceIndex(piece)!;

describe('LeaseLedger', () => {
  it('knows each lease until it comes home, once', () => {
    const ledger = new LeaseLedger(2);
    const first = ledger.grant(0, at(7));
    const second = ledger.grant(1, at(8));
    expect(first).toBeGreaterThan(0);
    expect(ledger.size).toBe(2);
    expect([ledger.settle(first), ledger.settle(first)]).toEqual([true, false]);
    expect([ledger.settle(0), ledger.settle(second + 1)]).toEqual([false, false]);
    expect(ledger.size).toBe(1);
  });

  it('takes what a group had not seen when it asked off what it asked for', () => {
    const ledger = new LeaseLedger(1);
    expect(ledger.open(0)).toBe(0);
    ledger.onWant(0, 3, 0);
    expect(ledger.open(0)).toBe(3);
    ledger.grant(0, at(0));
    ledger.grant(0, at(1));
    expect(ledger.open(0)).toBe(1);
    // It asks again, having seen the first of the two leases.
    ledger.onWant(0, 3, 1);
    expect(ledger.open(0)).toBe(2);
    ledger.onWant(0, 0, 2);
    expect(ledger.open(0)).toBe(0);
    ledger.grant(0, at(2));
    expect(ledger.open(0)).toBe(0);
  });

  it('does not give a group more for a lease that came home', () => {
    const ledger = new LeaseLedger(1);
    ledger.onWant(0, 1, 0);
    ledger.settle(ledger.grant(0, at(0)));
    expect(ledger.open(0)).toBe(0);
  });

  it('names the pieces a dead group held, and starts its successor from nothing', () => {
    const ledger = new LeaseLedger(2);
    ledger.onWant(1, 9, 0);
    const leases = [3, 4, 5].map((piece) => ledger.grant(1, at(piece)));
    const other = ledger.grant(0, at(6));
    ledger.settle(leases[1]!);
    expect(ledger.forgetGroup(1)).toEqual([3, 5]);
    expect(ledger.forgetGroup(1)).toEqual([]);
    expect([ledger.size, ledger.open(1)]).toEqual([1, 0]);
    expect([ledger.settle(leases[0]!), ledger.settle(other)]).toEqual([false, true]);
    ledger.onWant(1, 2, 0);
    expect(ledger.open(1)).toBe(2);
    // A number of the dead group's leases does not come again.
    expect(leases).not.toContain(ledger.grant(1, at(3)));
  });

  it('lists the leases of a piece, of which there is more than one only in the endgame', () => {
    const ledger = new LeaseLedger(2);
    const [first, other] = [ledger.grant(0, at(3)), ledger.grant(0, at(4))];
    expect([ledger.isLeased(at(3)), ledger.isLeased(at(5))]).toEqual([true, false]);
    const copy = ledger.grant(1, at(3));
    expect(ledger.leasesOf(at(3))).toEqual([
      { lease: first, group: 0 },
      { lease: copy, group: 1 },
    ]);
    ledger.settle(first);
    expect([ledger.isLeased(at(3)), ledger.leasesOf(at(3))]).toEqual([true, [{ lease: copy, group: 1 }]]);
    expect(ledger.forgetGroup(1)).toEqual([3]);
    expect([ledger.isLeased(at(3)), ledger.leasesOf(at(3)), ledger.leasesOf(at(4))]).toEqual([
      false,
      [],
      [{ lease: other, group: 0 }],
    ]);
  });

  it('shares each lease once, with a group that can help and does not hold the piece', () => {
    const ledger = new LeaseLedger(3);
    const [first, second] = [ledger.grant(0, at(3)), ledger.grant(1, at(4))];
    const any = (): boolean => true;
    expect(ledger.share(0, (piece) => piece === 3)).toBeUndefined();
    expect(ledger.share(1, any)).toEqual({ lease: first, holder: 0, piece: 3 });
    expect(ledger.share(2, any)).toEqual({ lease: second, holder: 1, piece: 4 });
    expect([ledger.share(1, any), ledger.share(2, any)]).toEqual([undefined, undefined]);
    ledger.grant(2, at(5));
    ledger.settle(first);
    // A piece that is leased twice already is not shared again.
    ledger.grant(0, at(5));
    expect(ledger.share(1, any)).toBeUndefined();
  });

  it('shares a lease again when its copy could not be made, or has come home', () => {
    const ledger = new LeaseLedger(2);
    const any = (): boolean => true;
    const lease = ledger.grant(0, at(3));
    const shared = { lease, holder: 0, piece: 3 };
    expect(ledger.share(1, any)).toEqual(shared);
    ledger.unshare(lease);
    expect(ledger.share(1, any)).toEqual(shared);
    const copy = ledger.grant(1, at(3));
    expect(ledger.share(1, any)).toBeUndefined();
    ledger.settle(copy);
    expect([ledger.share(1, any), ledger.share(1, any)]).toEqual([shared, undefined]);
  });

  it('never gives a group more than it could start, whatever crosses on the way', () => {
    const GROUPS = 2;
    const step = fc.record({
      do: fc.constantFrom(
        'want' as const,
        'hear' as const,
        'grant' as const,
        'see' as const,
        'finish' as const,
        'die' as const,
      ),
      group: fc.nat(GROUPS - 1),
      count: fc.nat(6),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (script) => {
        const ledger = new LeaseLedger(GROUPS);
        // Per group: messages on their way in both directions, and what the group itself knows.
        const fresh = () => ({
          wants: [] as [number, number][],
          leases: [] as number[],
          seen: 0,
          held: [] as number[],
          said: 0,
        });
        const groups = Array.from({ length: GROUPS }, fresh);
        const numbers = new Set<number>();
        let piece = 0;
        for (const { do: action, group, count } of script) {
          const state = groups[group]!;
          if (action === 'want') {
            state.wants.push([count, state.seen]);
            state.said = state.seen + count;
          } else if (action === 'hear' && state.wants.length > 0) ledger.onWant(group, ...state.wants.shift()!);
          else if (action === 'grant' && ledger.open(group) > 0) {
            const lease = ledger.grant(group, at(piece++ % 100));
            expect(numbers.has(lease)).toBe(false);
            numbers.add(lease);
            state.leases.push(lease);
          } else if (action === 'see' && state.leases.length > 0) {
            state.held.push(state.leases.shift()!);
            state.seen++;
          } else if (action === 'finish' && state.held.length > 0)
            expect(ledger.settle(state.held.shift()!)).toBe(true);
          else if (action === 'die') {
            expect(ledger.forgetGroup(group)).toHaveLength(state.held.length + state.leases.length);
            groups[group] = fresh();
          }
          for (const [number, { wants, leases, seen, said }] of groups.entries()) {
            // With nothing on the way to main, what it may still grant and what is under way are what was asked for at most.
            if (wants.length > 0 || said < seen + leases.length) continue;
            expect(seen + leases.length + ledger.open(number)).toBe(said);
          }
        }
        expect(ledger.size).toBe(groups.reduce((sum, { held, leases }) => sum + held.length + leases.length, 0));
      }),
    );
  });
});
