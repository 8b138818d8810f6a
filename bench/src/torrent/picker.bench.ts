// The picker at the size of the largest torrents: 1,000,000 pieces, availability as of thousands of peers.
import { bench, describe } from 'vitest';
import { Bitfield } from '../../../src/torrent/bitfield.js';
import { Geometry } from '../../../src/torrent/geometry.js';
import { Picker } from '../../../src/torrent/picker.js';

const PIECES = 1_000_000;
const geometry = new Geometry({ length: PIECES * 1_048_576, pieceLength: 1_048_576 });
const group = {
  availability: Uint16Array.from({ length: PIECES }, () => Math.floor(Math.random() * 5000)),
  version: 0,
};
const anything = { canGive: () => true };

describe('Picker, 1,000,000 pieces', () => {
  const wanted = Bitfield.full(PIECES);
  bench('construction', () => {
    new Picker(geometry, wanted, new Bitfield(PIECES), [group], Math.random);
  });

  let picker = new Picker(geometry, wanted, new Bitfield(PIECES), [group], Math.random);
  let now = 0;
  bench('a pick of 10 pieces', () => {
    if (picker.pick(0, anything, 10, now).length < 10) {
      picker = new Picker(geometry, wanted, new Bitfield(PIECES), [group], Math.random);
    }
  });

  const sorted = new Picker(geometry, wanted, Bitfield.full(0), [group], Math.random);
  for (let i = 0; i < 4; i++) for (const piece of sorted.pick(0, anything, 1, 0)) sorted.onWritten(piece);
  bench('a re-sort and a pick', () => {
    group.version++;
    now += 1000;
    sorted.pick(0, anything, 1, now);
  });
});
