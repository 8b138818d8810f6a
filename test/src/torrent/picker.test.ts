import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bitfield } from '../../../src/torrent/bitfield.js';
import { Geometry, type PieceIndex } from '../../../src/torrent/geometry.js';
import { Picker, PieceState, type Source } from '../../../src/torrent/picker.js';

const MIB = 1_048_576;
const ANY: Source = { canGive: () => true };
const only = (...pieces: readonly number[]): Source => ({ canGive: (piece) => pieces.includes(piece) });

/** The same numbers in [0, 1) for the same seed. */
function randomFrom(seed: number): () => number {
  // Neighbouring seeds start far apart.
  let state = ((seed + 1) * 48_271 ** 2) % 2_147_483_647;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

interface Setup {
  readonly pieces: number;
  readonly pieceLength?: number;
  readonly groups?: number;
  readonly have?: readonly number[];
  readonly unwanted?: readonly number[];
  readonly seed?: number;
}

function setup({ pieces, pieceLength = MIB, groups = 1, have = [], unwanted = [], seed = 1 }: Setup) {
  const geometry = new Geometry({ length: pieces * pieceLength, pieceLength });
  const wanted = Bitfield.full(pieces);
  const had = new Bitfield(pieces);
  for (const piece of unwanted) wanted.clear(piece);
  for (const piece of have) had.set(piece);
  const availability = Array.from({ length: groups }, () => ({ availability: new Uint16Array(pieces), version: 0 }));
  const picker = new Picker(geometry, wanted, had, availability, randomFrom(seed));
  const at = (piece: number): PieceIndex => geometry.pieceIndex(piece)!;
  const write = (piece: PieceIndex): void => {
    picker.onVerified(piece);
    picker.onWritten(piece);
  };
  return { picker, availability, at, write };
}

const ascending = (pieces: readonly number[]): number[] => [...pieces].sort((a, b) => a - b);

describe('Picker', () => {
  it('picks every wanted piece once, and nothing that is had or unwanted', () => {
    const { picker } = setup({ pieces: 10, have: [0, 9], unwanted: [4, 9] });
    expect(picker.left).toBe(7);
    const picked = [...picker.pick(0, ANY, 3, 0), ...picker.pick(0, ANY, 100, 1)];
    expect(ascending(picked)).toEqual([1, 2, 3, 5, 6, 7, 8]);
    expect(picker.pick(0, ANY, 1, 2)).toEqual([]);
  });

  it('tells the state of a piece through its life', () => {
    const { picker, at } = setup({ pieces: 3, have: [1], unwanted: [2] });
    const state = () => picker.stateOf(at(0));
    expect([at(1), at(2)].map((piece) => picker.stateOf(piece))).toEqual([PieceState.have, PieceState.unwanted]);
    expect(state()).toBe(PieceState.missing);
    picker.pick(0, ANY, 1, 0);
    expect(state()).toBe(PieceState.fetching);
    picker.onReturned(at(0), true);
    expect(state()).toBe(PieceState.partial);
    picker.pick(0, ANY, 1, 1);
    picker.onReturned(at(0), false);
    expect(state()).toBe(PieceState.missing);
    picker.pick(0, ANY, 1, 2);
    picker.onLost(at(0));
    expect(state()).toBe(PieceState.missing);
    picker.pick(0, ANY, 1, 3);
    picker.onVerified(at(0));
    expect([state(), picker.left]).toEqual([PieceState.writing, 1]);
    picker.onWritten(at(0));
    expect([state(), picker.left]).toEqual([PieceState.have, 0]);
  });

  it('picks only what the peers of the group can give, and the rest when they can', () => {
    const { picker } = setup({ pieces: 6 });
    expect(ascending(picker.pick(0, only(1, 4), 6, 0))).toEqual([1, 4]);
    expect(picker.pick(0, only(1, 4), 6, 1)).toEqual([]);
    expect(ascending(picker.pick(0, only(0, 1, 5), 6, 2))).toEqual([0, 5]);
    expect(ascending(picker.pick(0, ANY, 6, 3))).toEqual([2, 3]);
  });

  it('gives two groups different pieces', () => {
    const { picker } = setup({ pieces: 8, groups: 2 });
    const picked = [0, 1, 0, 1].flatMap((group, now) => picker.pick(group, ANY, 2, now));
    expect(ascending(picked)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('picks partial pieces before anything that is missing', () => {
    const { picker, at } = setup({ pieces: 8 });
    picker.pick(0, only(2, 5, 6), 3, 0);
    picker.onReturned(at(6), false);
    picker.onReturned(at(5), true);
    picker.onLost(at(2));
    expect(picker.pick(0, ANY, 1, 1)).toEqual([5]);
    expect(ascending(picker.pick(0, ANY, 8, 2))).toEqual([0, 1, 2, 3, 4, 6, 7]);
  });

  it('leaves a partial piece that the peers cannot give to another group', () => {
    const { picker, at } = setup({ pieces: 2, groups: 2 });
    picker.pick(0, ANY, 2, 0);
    picker.onReturned(at(0), true);
    expect(picker.pick(0, only(1), 2, 1)).toEqual([]);
    expect(picker.pick(1, ANY, 2, 1)).toEqual([0]);
  });

  it('picks a lost piece again for a group that has walked past it', () => {
    const { picker, at } = setup({ pieces: 3 });
    picker.pick(0, ANY, 3, 0);
    picker.onLost(at(1));
    expect(picker.pick(0, ANY, 3, 0)).toEqual([1]);
  });

  it('is exhausted when nothing is missing nor partial', () => {
    const { picker, at } = setup({ pieces: 3, have: [2] });
    expect(picker.isExhausted).toBe(false);
    picker.pick(0, ANY, 2, 0);
    expect(picker.isExhausted).toBe(true);
    picker.onReturned(at(0), true);
    expect(picker.isExhausted).toBe(false);
    picker.onVerified(at(0));
    expect(picker.isExhausted).toBe(true);
    picker.onLost(at(1));
    expect(picker.isExhausted).toBe(false);
    picker.onVerified(at(1));
    picker.onWritten(at(1));
    expect(picker.isExhausted).toBe(true);
  });

  it('takes a piece that comes home verified after it was given up', () => {
    const { picker, at } = setup({ pieces: 2 });
    picker.pick(0, ANY, 2, 0);
    picker.onReturned(at(0), true);
    picker.onVerified(at(0));
    expect(picker.pick(0, ANY, 2, 1)).toEqual([]);
    picker.onWritten(at(0));
    expect(picker.left).toBe(1);
  });
});

describe('the order', () => {
  it('is random for the very first pieces, however rare the others are', () => {
    const firsts = new Set<number>();
    for (let seed = 0; seed < 200; seed++) {
      const { picker, availability } = setup({ pieces: 8, seed });
      availability[0]!.availability.set([9, 8, 7, 6, 5, 4, 3, 2]);
      availability[0]!.version++;
      firsts.add(picker.pick(0, ANY, 1, 1000)[0]!);
    }
    expect(firsts.size).toBe(8);
  });

  it('is rarest first once four pieces are on disk', () => {
    const { picker, availability, write } = setup({ pieces: 12 });
    availability[0]!.availability.set([5, 9, 2, 7, 3, 8, 1, 6, 4, 12, 11, 10]);
    availability[0]!.version++;
    for (const piece of picker.pick(0, only(9, 10, 11, 1), 4, 0)) write(piece);
    expect(picker.pick(0, ANY, 12, 1000)).toEqual([6, 2, 4, 8, 0, 7, 3, 5]);
  });

  it('adds up what the groups see', () => {
    const { picker, availability } = setup({ pieces: 7, groups: 3, have: [3, 4, 5, 6] });
    availability[0]!.availability.set([3, 0, 1]);
    availability[1]!.availability.set([0, 2, 1]);
    availability[2]!.availability.set([65_535, 65_535, 65_535]);
    availability[1]!.version++;
    const picked = picker.pick(2, ANY, 7, 0);
    expect([ascending(picked.slice(0, 2)), picked[2]]).toEqual([[1, 2], 0]);
  });

  it('is rarest first among what the peers can give, whatever the groups see', () => {
    const counts = fc.array(fc.nat(5), { minLength: 20, maxLength: 20 });
    const gives = fc.uniqueArray(fc.nat(19));
    fc.assert(
      fc.property(counts, counts, gives, fc.nat(99), (first, second, source, seed) => {
        const { picker, availability } = setup({ pieces: 24, groups: 2, have: [20, 21, 22, 23], seed });
        availability[0]!.availability.set(first);
        availability[1]!.availability.set(second);
        availability[1]!.version++;
        const picked = [...picker.pick(0, only(...source), 5, 0), ...picker.pick(0, only(...source), 20, 1)];
        expect(ascending(picked)).toEqual(ascending(source));
        const rarity = picked.map((piece) => first[piece]! + second[piece]!);
        expect(rarity).toEqual(ascending(rarity));
      }),
    );
  });

  it('is random among pieces equally rare', () => {
    const firsts = new Set<number>();
    for (let seed = 0; seed < 200; seed++) {
      const { picker, availability } = setup({ pieces: 12, have: [8, 9, 10, 11], seed });
      availability[0]!.availability.set([2, 1, 2, 1, 2, 1, 2, 1]);
      availability[0]!.version++;
      firsts.add(picker.pick(0, ANY, 1, 0)[0]!);
    }
    expect(ascending([...firsts])).toEqual([1, 3, 5, 7]);
  });

  it('has what peers suggested before what is as rare, and after what is rarer', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { picker, availability, at } = setup({ pieces: 12, pieceLength: 4 * MIB, have: [8, 9, 10, 11], seed });
      availability[0]!.availability.set([2, 2, 1, 2, 2, 2, 1, 2]);
      availability[0]!.version++;
      picker.pick(0, ANY, 0, 0);
      picker.onSuggested(at(7));
      picker.onSuggested(at(0));
      picker.onSuggested(at(11));
      expect(ascending(picker.pick(0, ANY, 2, 500))).toEqual([2, 6]);
      expect(ascending(picker.pick(0, ANY, 2, 501))).toEqual([0, 7]);
      expect(ascending(picker.pick(0, ANY, 12, 502))).toEqual([1, 3, 4, 5]);
    }
  });

  it('is made anew when availability has changed, at most twice a second', () => {
    const { picker, availability } = setup({ pieces: 8, have: [4, 5, 6, 7] });
    const see = (...counts: readonly number[]): void => {
      availability[0]!.availability.set(counts);
      availability[0]!.version++;
    };
    see(1, 2, 3, 4);
    expect(picker.pick(0, ANY, 1, 10_000)).toEqual([0]);
    see(1, 4, 3, 2);
    expect(picker.pick(0, ANY, 1, 10_499)).toEqual([1]);
    expect(picker.pick(0, ANY, 1, 10_500)).toEqual([3]);
    expect(picker.pick(0, ANY, 1, 10_501)).toEqual([2]);
  });
});

describe('a question that nothing answers', () => {
  it('is not asked of every piece again and again', () => {
    const { picker } = setup({ pieces: 100_000, have: [0, 1, 2, 3] });
    let asked = 0;
    const nobody: Source = {
      canGive: () => {
        asked++;
        return false;
      },
    };
    for (let ms = 0; ms < 100; ms++) expect(picker.pick(0, nobody, 10, ms)).toEqual([]);
    // Walked once, and then again every 5 ms.
    expect(asked).toBeGreaterThan(1_000_000);
    expect(asked).toBeLessThan(2_500_000);
  });
});

describe('neighbours', () => {
  it('are picked in aligned runs of 4 MiB as long as they are equally rare', () => {
    const { picker } = setup({ pieces: 12, pieceLength: MIB });
    expect(picker.runLength).toBe(4);
    const runs = [picker.pick(0, ANY, 4, 0), picker.pick(0, ANY, 4, 1), picker.pick(0, ANY, 4, 2)].map(ascending);
    const inOrder = runs.sort(([a], [b]) => a! - b!);
    expect(inOrder).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9, 10, 11],
    ]);
  });

  it('that are less rare are left out, but not those of small pieces within 1 MiB', () => {
    const { picker, availability } = setup({ pieces: 20, pieceLength: MIB / 2, have: [16, 17, 18, 19] });
    const [group] = availability;
    group!.availability.fill(5);
    for (const piece of [2, 6]) group!.availability[piece] = 1;
    group!.version++;
    const [first, ...others] = picker.pick(0, ANY, 3, 1_000);
    // The one is as rare as the other, 3 shares a MiB with 2, and 7 with 6.
    expect(ascending(others)).toEqual(first === 2 ? [3, 6] : [2, 7]);
  });

  it('leave out of a run what is fetched, had, unwanted or not to be had from the peers', () => {
    const { picker } = setup({ pieces: 8, pieceLength: MIB / 8, have: [1], unwanted: [6] });
    expect(ascending(picker.pick(0, only(2), 8, 0))).toEqual([2]);
    expect(ascending(picker.pick(0, only(0, 1, 2, 3, 5, 6), 8, 1))).toEqual([0, 3, 5]);
    expect(ascending(picker.pick(0, ANY, 8, 2))).toEqual([4, 7]);
  });

  it('are picked to the end of their run before another one is begun', () => {
    const { picker } = setup({ pieces: 64, pieceLength: MIB / 4 });
    const picked = Array.from({ length: 16 }, (_, i) => picker.pick(0, ANY, 3, i)).flat();
    const runs = picked.map((piece) => Math.floor(piece / 16));
    expect(new Set(runs.slice(0, 16)).size).toBe(1);
    expect(new Set(runs.slice(16, 32)).size).toBe(1);
    expect(new Set(picked).size).toBe(48);
  });

  it('are never more than asked for', () => {
    const { picker } = setup({ pieces: 64, pieceLength: MIB / 64 });
    expect(picker.pick(0, ANY, 5, 0)).toHaveLength(5);
    expect(picker.pick(0, ANY, 100, 1)).toHaveLength(59);
  });

  it.each([
    [4 * MIB, 1],
    [4 * MIB - 1, 1],
    [2 * MIB + 1, 1],
    [2 * MIB, 2],
    [16_384, 256],
    [8 * MIB, 1],
    [1000, 4194],
  ])('of %d bytes are picked %d at a time', (pieceLength, runLength) => {
    expect(setup({ pieces: 1, pieceLength }).picker.runLength).toBe(runLength);
  });
});

describe('beside a plain model', () => {
  const PIECES = 24;
  const GROUPS = 3;
  const pieces = fc.nat(PIECES - 1);
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant('pick' as const), group: fc.nat(GROUPS - 1), count: fc.nat(6) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant('source' as const), group: fc.nat(GROUPS - 1), gives: fc.array(pieces) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('availability' as const),
        group: fc.nat(GROUPS - 1),
        piece: pieces,
        count: fc.nat(5),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('suggest' as const), piece: pieces }) },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constantFrom('verified' as const, 'written' as const), pick: fc.nat(99) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constantFrom('partial' as const, 'empty' as const, 'lost' as const, 'spilling' as const),
        pick: fc.nat(99),
      }),
    },
  );

  it('picks what may be picked, partial pieces first, and all of it', () => {
    fc.assert(
      fc.property(
        fc.record({
          have: fc.uniqueArray(pieces, { maxLength: 8 }),
          unwanted: fc.uniqueArray(pieces, { maxLength: 8 }),
          pieceLength: fc.constantFrom(MIB, MIB / 4, MIB / 8),
          seed: fc.nat(1000),
        }),
        fc.array(fc.tuple(step, fc.integer({ min: 1, max: 400 })), { maxLength: 120 }),
        (start, script) => {
          const { picker, availability, at } = setup({ pieces: PIECES, groups: GROUPS, ...start });
          const states = new Map<PieceIndex, string>();
          for (let piece = 0; piece < PIECES; piece++) {
            const state = start.have.includes(piece) ? 'have' : start.unwanted.includes(piece) ? 'unwanted' : 'missing';
            states.set(at(piece), state);
          }
          const inState = (state: string) => [...states].filter(([, each]) => each === state).map(([piece]) => piece);
          const sources = Array.from({ length: GROUPS }, () => new Set<number>());
          let now = 0;

          const pick = (group: number, count: number): void => {
            const source = sources[group]!;
            const partial = inState('partial').filter((piece) => source.has(piece));
            const missing = inState('missing').filter((piece) => source.has(piece));
            const picked = picker.pick(group, { canGive: (piece) => source.has(piece) }, count, now);
            expect(new Set(picked).size).toBe(picked.length);
            expect(picked).toHaveLength(Math.min(count, partial.length + missing.length));
            const first = picked.slice(0, partial.length);
            expect(first.filter((piece) => !partial.includes(piece))).toEqual([]);
            expect(picked.slice(partial.length).filter((piece) => !missing.includes(piece))).toEqual([]);
            for (const piece of picked) states.set(piece, 'fetching');
          };

          for (const [action, pause] of script) {
            now += pause;
            if (action.do === 'pick') pick(action.group, action.count);
            else if (action.do === 'source') sources[action.group] = new Set(action.gives);
            else if (action.do === 'suggest') picker.onSuggested(at(action.piece));
            else if (action.do === 'availability') {
              availability[action.group]!.availability[action.piece] = action.count;
              availability[action.group]!.version++;
            } else {
              const from = { written: 'writing', spilling: 'partial' } as Partial<Record<typeof action.do, string>>;
              const candidates = inState(from[action.do] ?? 'fetching');
              const piece = candidates[action.pick % candidates.length];
              if (piece === undefined) continue;
              if (action.do === 'verified') picker.onVerified(piece);
              else if (action.do === 'written') picker.onWritten(piece);
              else if (action.do === 'lost') picker.onLost(piece);
              else if (action.do === 'spilling') picker.onSpilling(piece);
              else picker.onReturned(piece, action.do === 'partial');
              const next = {
                verified: 'writing',
                written: 'have',
                lost: 'missing',
                empty: 'missing',
                partial: 'partial',
                spilling: 'fetching',
              };
              states.set(piece, next[action.do]);
            }
            const done = PIECES - inState('have').length - inState('unwanted').length;
            expect(picker.left).toBe(done);
            expect(picker.isExhausted).toBe(inState('missing').length + inState('partial').length === 0);
            for (const [piece, state] of states)
              expect(picker.stateOf(piece)).toBe(PieceState[state as keyof typeof PieceState]);
          }
          // Whatever is left is picked when everybody can give everything.
          for (let group = 0; group < GROUPS; group++) sources[group] = new Set(Array(PIECES).keys());
          now += 1;
          pick(0, PIECES);
        },
      ),
      { numRuns: 300 },
    );
  });
});
