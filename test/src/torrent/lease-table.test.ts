import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bitfield } from '../../../src/torrent/bitfield.js';
import { Geometry, type PieceIndex } from '../../../src/torrent/geometry.js';
import { LeaseTable } from '../../../src/torrent/lease-table.js';
import { PieceBuffer } from '../../../src/torrent/piece-buffer.js';

const BLOCK = 16_384;
const PIECES = 6;
/** Pieces of three blocks, the last of one. */
const geometry = new Geometry({ length: (3 * (PIECES - 1) + 1) * BLOCK, pieceLength: 3 * BLOCK });
const at = (piece: number): PieceIndex => geometry.pieceIndex(piece)!;

const leaseOf = (lease: number, piece: number, present = new Uint8Array(0), exclusive = false): PieceBuffer =>
  new PieceBuffer({ lease, piece: at(piece), buffer: new ArrayBuffer(3 * BLOCK), present, exclusive }, geometry, 0);

function bitfield(...pieces: readonly number[]): Bitfield {
  const has = new Bitfield(PIECES);
  for (const piece of pieces) has.set(piece);
  return has;
}

/** The blocks assigned, as `piece/block`. */
function assign(table: LeaseTable, has: Bitfield, room: number, peer = 1): string[] {
  const blocks: string[] = [];
  expect(table.assign(peer, has, room, (piece, block) => blocks.push(`${piece}/${block}`))).toBe(blocks.length);
  return blocks;
}

describe('LeaseTable', () => {
  it('hands out the oldest lease first', () => {
    const table = new LeaseTable();
    table.add(leaseOf(1, 4));
    table.add(leaseOf(2, 1));
    expect(table.missingBlocks).toBe(6);
    expect(assign(table, Bitfield.full(PIECES), 4)).toEqual(['4/0', '4/1', '4/2', '1/0']);
    expect(assign(table, Bitfield.full(PIECES), 4)).toEqual(['1/1', '1/2']);
    expect(assign(table, Bitfield.full(PIECES), 4)).toEqual([]);
    expect(table.missingBlocks).toBe(0);
  });

  it('hands out only pieces that the peer has', () => {
    const table = new LeaseTable();
    for (const piece of [0, 1, 2]) table.add(leaseOf(piece + 1, piece));
    expect(assign(table, bitfield(2, 5), 9)).toEqual(['2/0', '2/1', '2/2']);
    expect(assign(table, bitfield(), 9)).toEqual([]);
  });

  it('hands out nothing without room', () => {
    const table = new LeaseTable();
    table.add(leaseOf(1, 0));
    expect(assign(table, Bitfield.full(PIECES), 0)).toEqual([]);
    expect(table.missingBlocks).toBe(3);
  });

  it('hands out what an old lease got back before anything newer', () => {
    const table = new LeaseTable();
    for (const piece of [3, 0, 1]) table.add(leaseOf(piece === 3 ? 1 : piece + 2, piece));
    expect(assign(table, Bitfield.full(PIECES), 7)).toHaveLength(7);
    table.release(at(0), 1, 1);
    table.release(at(3), 2, 1);
    expect(assign(table, Bitfield.full(PIECES), 9)).toEqual(['3/2', '0/1', '1/1', '1/2']);
  });

  it('asks one more peer, up to three and a fourth that gives, for what others owe, and none twice', () => {
    const table = new LeaseTable();
    const first = leaseOf(1, 0);
    table.add(first);
    assign(table, Bitfield.full(PIECES), 2);
    const contest = (peer: number, owed: readonly number[] = [], room = 9, isProven = false, now = 0): string[] => {
      const asked: string[] = [];
      const owes = (_piece: number, block: number): boolean => owed.includes(block);
      const each = (piece: number, block: number) => asked.push(`${piece}/${block}`);
      table.contest(peer, Bitfield.full(PIECES), room, isProven, now, owes, each);
      return asked;
    };
    // The third block is missing: it is to be asked for, not contested.
    expect(contest(2, [], 1)).toEqual(['0/0']);
    expect(contest(2, [0])).toEqual(['0/1']);
    expect(contest(3)).toEqual(['0/0', '0/1']);
    expect(contest(4)).toEqual([]);
    expect(contest(4, [], 1, true)).toEqual(['0/0']);
    expect(contest(5, [0], 1, true)).toEqual(['0/1']);
    expect(contest(6, [], 9, true)).toEqual([]);
    // All are asked when nothing of the piece has come for a second.
    expect([contest(6, [], 1, false, 999), contest(6, [], 1, false, 1_000)]).toEqual([[], ['0/0']]);
    for (const peer of [4, 6]) table.release(at(0), 0, peer);
    table.release(at(0), 1, 5);
    expect([first.isContested(0), first.isContested(2)]).toEqual([true, false]);
    // Who gives up leaves the block with the others.
    table.release(at(0), 0, 1);
    table.release(at(0), 0, 1);
    expect([first.isContested(0), first.missing]).toEqual([false, 1]);
    table.release(at(0), 0, 1);
    expect(first.missing).toBe(2);
    table.complete(first, 1, 3, 0);
    expect(first.isContested(1)).toBe(false);
  });

  it('hands out only the missing blocks of a lease that came with some', () => {
    const table = new LeaseTable();
    table.add(leaseOf(1, 0, Uint8Array.of(0, 1, 0)));
    table.add(leaseOf(2, 1, Uint8Array.of(1, 1, 1)));
    expect(table.missingBlocks).toBe(2);
    expect(assign(table, Bitfield.full(PIECES), 9)).toEqual(['0/0', '0/2']);
  });

  it('does not hand out what was claimed', () => {
    const table = new LeaseTable();
    table.add(leaseOf(1, 5));
    table.add(leaseOf(2, 0));
    expect([table.claim(at(5), 0, 1), table.claim(at(0), 1, 1), table.claim(at(0), 1, 1)]).toEqual([true, true, false]);
    expect(table.claim(at(3), 0, 1)).toBe(false);
    expect(table.missingBlocks).toBe(2);
    expect(assign(table, Bitfield.full(PIECES), 9)).toEqual(['0/0', '0/2']);
    table.release(at(5), 0, 1);
    expect(assign(table, Bitfield.full(PIECES), 9)).toEqual(['5/0']);
  });

  it('hands a piece for one peer alone out to one peer, until that one gives a block up', () => {
    const table = new LeaseTable();
    const lease = leaseOf(1, 0, new Uint8Array(0), true);
    table.add(lease);
    table.add(leaseOf(2, 1));
    expect(assign(table, Bitfield.full(PIECES), 2, 4)).toEqual(['0/0', '0/1']);
    expect(assign(table, Bitfield.full(PIECES), 1, 9)).toEqual(['1/0']);
    table.complete(lease, 0, 4, 0);
    table.release(at(0), 1, 4);
    expect(table.missingBlocks).toBe(5);
    expect(assign(table, Bitfield.full(PIECES), 9, 9)).toEqual(['0/0', '0/1', '0/2', '1/1', '1/2']);
    expect(table.missingBlocks).toBe(0);
  });

  it('hands a piece for one peer alone over to another one, before anything newer', () => {
    const table = new LeaseTable();
    const lease = leaseOf(1, 0, new Uint8Array(0), true);
    table.add(lease);
    table.add(leaseOf(2, 1));
    expect(assign(table, Bitfield.full(PIECES), 4, 4)).toEqual(['0/0', '0/1', '0/2', '1/0']);
    table.complete(lease, 0, 4, 0);
    table.handOver(lease, 9);
    expect(table.missingBlocks).toBe(5);
    expect(assign(table, Bitfield.full(PIECES), 1, 4)).toEqual(['1/1']);
    expect(assign(table, Bitfield.full(PIECES), 9, 9)).toEqual(['0/0', '0/1', '0/2', '1/2']);
  });

  it('ignores a block given up for a lease that is gone', () => {
    const table = new LeaseTable();
    const lease = leaseOf(1, 0);
    table.add(lease);
    assign(table, Bitfield.full(PIECES), 2);
    table.remove(lease);
    table.release(at(0), 1, 1);
    expect([table.size, table.missingBlocks]).toEqual([0, 0]);
    expect(table.get(0)).toBeUndefined();
    expect(assign(table, Bitfield.full(PIECES), 9)).toEqual([]);
  });

  it('agrees with a plain list of leases whatever happens', () => {
    const pieces = fc.nat(PIECES - 1);
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), piece: pieces, present: fc.uint8Array({ max: 1, maxLength: 3 }) }),
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant('add' as const), piece: pieces, present: fc.constant(undefined) }),
      },
      fc.record({ do: fc.constant('remove' as const), piece: pieces }),
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant('assign' as const),
          has: fc.uniqueArray(pieces, { minLength: PIECES - 2, maxLength: PIECES }),
          room: fc.nat(6),
        }),
      },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), piece: pieces, block: fc.nat(2) }) },
      fc.record({ do: fc.constantFrom('complete' as const, 'claim' as const), piece: pieces, block: fc.nat(2) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (script) => {
        const table = new LeaseTable();
        let number = 0;
        /** Oldest first; the state of each block. */
        const model: { piece: number; blocks: string[] }[] = [];
        for (const action of script) {
          if (action.do === 'assign') {
            const expected: string[] = [];
            for (const { piece, blocks } of model) {
              if (!action.has.includes(piece)) continue;
              for (let block = 0; block < blocks.length && expected.length < action.room; block++) {
                if (blocks[block] !== 'missing') continue;
                blocks[block] = 'requested';
                expected.push(`${piece}/${block}`);
              }
            }
            expect(assign(table, bitfield(...action.has), action.room)).toEqual(expected);
          } else {
            const held = model.find(({ piece }) => piece === action.piece);
            const lease = table.get(action.piece);
            expect(lease?.piece).toBe(held?.piece);
            if (action.do === 'add' && held === undefined) {
              const lease = leaseOf(++number, action.piece, action.present);
              table.add(lease);
              const states = [...lease.presence()].map((here) => (here === 1 ? 'present' : 'missing'));
              model.push({ piece: action.piece, blocks: states });
            } else if (action.do === 'remove' && lease !== undefined) {
              table.remove(lease);
              model.splice(model.indexOf(held!), 1);
            } else if (action.do === 'release') {
              table.release(at(action.piece), action.block, 1);
              if (held?.blocks[action.block] === 'requested') held.blocks[action.block] = 'missing';
            } else if (action.do === 'claim') {
              const missing = held?.blocks[action.block] === 'missing';
              expect(table.claim(at(action.piece), action.block, 1)).toBe(missing);
              if (missing) held!.blocks[action.block] = 'requested';
            } else if (action.do === 'complete' && held !== undefined && action.block < held.blocks.length) {
              table.complete(lease!, action.block, 1, 0);
              held.blocks[action.block] = 'present';
            }
          }
          const missing = model.flatMap(({ blocks }) => blocks).filter((state) => state === 'missing').length;
          expect(table.missingBlocks).toBe(missing);
          expect([...table].map(({ piece }) => piece)).toEqual(model.map(({ piece }) => piece));
          expect(table.size).toBe(model.length);
        }
      }),
      { numRuns: 500 },
    );
  });
});
