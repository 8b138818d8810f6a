// The choice of the next blocks to ask a peer for, in a group with 64 leases of 1 MiB: once for each block that is fetched.
import { bench, describe } from 'vitest';
import { Bitfield } from '../../../src/torrent/bitfield.js';
import { Geometry, type PieceIndex } from '../../../src/torrent/geometry.js';
import { LeaseTable } from '../../../src/torrent/lease-table.js';
import { PieceBuffer } from '../../../src/torrent/piece-buffer.js';
import { RequestQueue } from '../../../src/torrent/request-queue.js';

const LEASES = 64;
const PIECE_LENGTH = 1_048_576;
const geometry = new Geometry({ length: LEASES * PIECE_LENGTH, pieceLength: PIECE_LENGTH });
const buffers = Array.from({ length: LEASES }, () => new ArrayBuffer(PIECE_LENGTH));

function filled(): LeaseTable {
  const table = new LeaseTable();
  for (const piece of geometry.pieces()) {
    table.add(new PieceBuffer({ lease: piece + 1, piece, buffer: buffers[piece]! }, geometry, 0));
  }
  return table;
}

/** All 4,096 blocks: asked for 16 at a time, in place as soon as they are. */
function fetchAll(table: LeaseTable, peers: readonly Bitfield[]): void {
  let peer = 0;
  const asked: [PieceIndex, number][] = [];
  const note = (piece: PieceIndex, block: number): void => void asked.push([piece, block]);
  while (table.missingBlocks > 0) {
    peer = (peer + 1) % peers.length;
    table.assign(peer + 1, peers[peer]!, 16, note);
    for (const [piece, block] of asked) table.complete(table.get(piece)!, block, peer + 1, 0);
    asked.length = 0;
  }
}

describe('LeaseTable, 64 leases of 64 blocks', () => {
  const seed = Bitfield.full(LEASES);
  const halves = [0, 1].map((rest) => {
    const half = new Bitfield(LEASES);
    for (const piece of geometry.pieces()) if (piece % 2 === rest) half.set(piece);
    return half;
  });
  bench('filling the table', () => {
    filled();
  });
  bench('every block of a seed', () => fetchAll(filled(), [seed]));
  bench('every block, from 40 peers that have half of the pieces each', () => {
    fetchAll(
      filled(),
      Array.from({ length: 40 }, (_, i) => halves[i % 2]!),
    );
  });
  bench('64 blocks asked for, and given back by a choke', () => {
    const table = filled();
    const queue = new RequestQueue();
    table.assign(1, seed, 64, (piece, block) => queue.push(piece, block));
    queue.clear((piece, block) => table.release(piece, block, 1));
    table.assign(2, seed, 64, () => {});
  });
});
