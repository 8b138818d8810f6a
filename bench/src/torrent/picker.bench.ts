// The picker at the size of the largest torrents: 1,000,000 pieces, and the availability that 5,000 peers in four groups make.
import { bench, describe } from 'vitest';
import { Bitfield } from '../../../src/torrent/bitfield.js';
import { Geometry } from '../../../src/torrent/geometry.js';
import { Picker } from '../../../src/torrent/picker.js';
import { seededRandom } from '../random.js';

const PIECES = 1_000_000;
const GROUPS = 4;
const PEERS_PER_GROUP = 1250;
const geometry = new Geometry({ length: PIECES * 1_048_576, pieceLength: 1_048_576 });
const random = seededRandom(1);
const groups = Array.from({ length: GROUPS }, () => ({
  availability: Uint16Array.from({ length: PIECES }, () => Math.floor(random() * (PEERS_PER_GROUP + 1))),
  version: 0,
}));
const anything = { canGive: () => true };
/** A group whose peers have one piece in a hundred that is left. */
const little = { canGive: (piece: number) => piece % 100 === 0 };

describe('Picker, 1,000,000 pieces, 5,000 peers', () => {
  const wanted = Bitfield.full(PIECES);
  const fresh = (): Picker => new Picker(geometry, wanted, new Bitfield(PIECES), groups, random);
  bench('construction', () => {
    fresh();
  });

  let picker = fresh();
  bench('a pick of 10 pieces', () => {
    if (picker.pick(0, anything, 10, 0).length < 10) picker = fresh();
  });

  let scarce = fresh();
  bench('a pick of 10 pieces, of which its peers have one in a hundred', () => {
    if (scarce.pick(0, little, 10, 0).length < 10) scarce = fresh();
  });

  const sorted = fresh();
  let now = 0;
  for (let i = 0; i < 4; i++) for (const piece of sorted.pick(0, anything, 1, 0)) sorted.onWritten(piece);
  bench('a re-sort and a pick', () => {
    groups[0]!.version++;
    now += 1000;
    sorted.pick(0, anything, 1, now);
  });
});
