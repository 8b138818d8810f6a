import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Choker, type ChokerPeer, optimisticSlots } from '../../../src/torrent/choker.js';

const MIB = 1_048_576;
const ROUND_MS = 10_000;

/** The same numbers in [0, 1) for the same seed. */
function randomFrom(seed: number): () => number {
  let state = ((seed + 1) * 48_271 ** 2) % 2_147_483_647;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

const ascending = (ids: Iterable<number>): number[] => [...ids].sort((a, b) => a - b);

/** Mutable, to be told what it is and does. */
type Peer = { -readonly [Key in keyof ChokerPeer]: ChokerPeer[Key] };

/** A choker and the peers it decides on, which it chokes and unchokes as a group would. */
class Table {
  readonly peers: Peer[] = [];
  slots: number;
  seeding = false;
  now = 1_000_000;
  readonly #choker: Choker;

  constructor(slots: number, seed = 1) {
    this.slots = slots;
    this.#choker = new Choker(randomFrom(seed));
  }

  /** Peers that came long ago and are interested. */
  add(count: number, what: Partial<ChokerPeer> = {}): Peer[] {
    const added = Array.from({ length: count }, (_, index) => ({
      id: this.peers.length + index + 1,
      interested: true,
      bytes: 0,
      snubbed: false,
      connectedAt: 0,
      unchoked: false,
      uploadOnly: false,
      ...what,
    }));
    this.peers.push(...added);
    return added;
  }

  /** The ids unchoked after a round. */
  round(): number[] {
    this.now += ROUND_MS;
    return this.#apply(this.#choker.onRound(this.peers, this.slots, this.seeding, this.now));
  }

  /** The ids unchoked after a change between two rounds. */
  change(): number[] {
    return this.#apply(this.#choker.onChange(this.peers, this.slots, this.seeding, this.now));
  }

  #apply(ids: ReadonlySet<number>): number[] {
    for (const peer of this.peers) peer.unchoked = ids.has(peer.id);
    return ascending(ids);
  }
}

describe('tit for tat', () => {
  it('gives all but one slot in four to those that gave most', () => {
    const table = new Table(4);
    for (const [index, peer] of table.add(10).entries()) peer.bytes = index * 1000;
    for (let round = 0; round < 20; round++) {
      const unchoked = table.round();
      expect(unchoked).toHaveLength(4);
      expect(unchoked).toEqual(expect.arrayContaining([8, 9, 10]));
    }
  });

  it.each([
    [0, 0],
    [1, 1],
    [2, 1],
    [4, 1],
    [7, 1],
    [8, 2],
    [100, 25],
  ])('has of %d slots %d optimistic', (slots, optimistic) => {
    expect(optimisticSlots(slots)).toBe(optimistic);
  });

  it('follows the rates from round to round', () => {
    const table = new Table(4);
    const peers = table.add(10);
    for (const peer of peers.slice(0, 3)) peer.bytes = 5_000;
    expect(table.round()).toEqual(expect.arrayContaining([1, 2, 3]));
    peers[0]!.bytes = 10;
    for (const peer of peers.slice(2, 5)) peer.bytes = 7_000;
    expect(table.round()).toEqual(expect.arrayContaining([3, 4, 5]));
  });

  it('leaves a slot with who has it when another gave as much', () => {
    const table = new Table(4);
    const peers = table.add(4);
    for (const peer of peers) peer.bytes = 5_000;
    const first = table.round();
    expect(first).toEqual([1, 2, 3, 4]);
    table.add(4, { bytes: 5_000 });
    table.peers.reverse();
    for (let round = 0; round < 3; round++)
      expect(table.round().filter((id) => id <= 4).length).toBeGreaterThanOrEqual(3);
  });

  it('takes no notice of what a peer gives that is not interested, or wants no data', () => {
    const table = new Table(4);
    table.add(4, { bytes: 1 });
    table.add(4, { bytes: 5_000, interested: false });
    table.add(4, { bytes: 5_000, uploadOnly: true });
    expect(table.round()).toEqual([1, 2, 3, 4]);
  });

  it('gives a peer that snubs us no slot but the optimistic one, whatever it gave before', () => {
    const table = new Table(4);
    table.add(3, { bytes: 9_000, snubbed: true });
    table.add(8, { bytes: 100 });
    for (let round = 0; round < 30; round++) {
      const unchoked = table.round();
      expect(unchoked).toHaveLength(4);
      expect(unchoked.filter((id) => id <= 3).length).toBeLessThanOrEqual(1);
    }
  });

  it('takes the slot of a peer that begins to snub us, at once', () => {
    const table = new Table(4);
    const [first] = table.add(5, { bytes: 100 });
    table.add(1);
    expect(table.round()).toContain(1);
    first!.snubbed = true;
    const unchoked = new Set([...table.change(), ...table.change()]);
    expect(unchoked.size).toBe(4);
    expect([...unchoked].filter((id) => id > 1).length).toBeGreaterThanOrEqual(3);
  });

  it('has no more optimistic slots for those that snub us when they drew theirs before', () => {
    const table = new Table(4);
    table.add(4);
    expect(table.round()).toEqual([1, 2, 3, 4]);
    for (const peer of table.peers) peer.snubbed = true;
    expect(table.change()).toHaveLength(1);
    expect(table.round()).toHaveLength(1);
  });

  it('leaves drawn slots to who drew last when more are earned', () => {
    const table = new Table(4);
    table.add(2);
    table.change();
    table.round();
    table.add(2);
    expect(table.change()).toEqual([1, 2, 3, 4]);
    table.round();
    table.add(3, { bytes: 100 });
    const unchoked = table.round();
    expect(unchoked).toEqual(expect.arrayContaining([5, 6, 7]));
    expect(unchoked[0]).toBe(3);
  });

  it('lets a drawn slot be earned, and gives the next giver one besides', () => {
    for (let seed = 0; seed < 10; seed++) {
      const table = new Table(4, seed);
      const [first] = table.add(2);
      expect(table.change()).toEqual([1, 2]);
      first!.bytes = 500;
      table.add(5);
      table.add(2, { bytes: 300 });
      expect(table.round()).toEqual([1, 2, 8, 9]);
    }
  });

  it('unchokes more optimistically while nobody gives anything', () => {
    const table = new Table(8);
    table.add(20);
    expect(table.round()).toHaveLength(8);
  });
});

describe('the optimistic unchoke', () => {
  it('is rotated every third round', () => {
    const table = new Table(4);
    for (const peer of table.add(3)) peer.bytes = 5_000;
    table.add(9);
    const optimistic = Array.from({ length: 27 }, () => table.round().find((id) => id > 3));
    for (let at = 0; at < optimistic.length; at += 3) {
      expect(new Set(optimistic.slice(at, at + 3)).size).toBe(1);
      expect(optimistic[at + 3]).not.toBe(optimistic[at]);
    }
    // Nine turns, one for each.
    expect(new Set(optimistic).size).toBe(9);
  });

  it('begins again with anybody when each peer has had its turn', () => {
    const firsts = new Set<number>();
    for (let seed = 0; seed < 50; seed++) {
      const table = new Table(1, seed);
      table.add(4);
      for (let round = 0; round < 12; round++) table.round();
      firsts.add(table.round()[0]!);
    }
    expect(firsts.size).toBe(4);
  });

  it('falls on a new peer three times as often as on another', () => {
    let fell = 0;
    const tries = 4_000;
    for (let seed = 0; seed < tries; seed++) {
      const table = new Table(1, seed);
      table.add(7);
      table.add(1, { connectedAt: table.now });
      if (table.round()[0] === 8) fell++;
    }
    expect(fell / tries).toBeGreaterThan(0.27);
    expect(fell / tries).toBeLessThan(0.33);
  });

  it('counts a peer as new for a minute', () => {
    const chances = [49_000, 51_000].map((age) => {
      let fell = 0;
      for (let seed = 0; seed < 2_000; seed++) {
        const table = new Table(1, seed);
        table.add(1);
        table.add(1, { connectedAt: table.now - age });
        if (table.round()[0] === 2) fell++;
      }
      return fell / 2_000;
    });
    expect(chances[0]).toBeGreaterThan(0.7);
    expect(chances[1]).toBeLessThan(0.55);
  });

  it('becomes a slot of its own for a peer that gives enough, and goes on to the next', () => {
    const table = new Table(4);
    table.add(3, { bytes: 100 });
    const others = table.add(4);
    const drawn = table.round().find((id) => id > 3)!;
    others.find(({ id }) => id === drawn)!.bytes = 9_000;
    const unchoked = table.round();
    expect(unchoked).toContain(drawn);
    expect(unchoked.filter((id) => id > 3)).toHaveLength(2);
  });

  it('stays where it is when nobody else waits for it', () => {
    const table = new Table(4);
    table.add(4);
    for (let round = 0; round < 10; round++) expect(table.round()).toEqual([1, 2, 3, 4]);
  });
});

describe('between rounds', () => {
  it('a free slot is filled at once, by who gave most of those that wait', () => {
    const table = new Table(4);
    const givers = table.add(5, { bytes: 300 });
    givers[3]!.bytes = 200;
    givers[4]!.bytes = 100;
    table.add(1);
    const first = table.round();
    expect(first).toEqual(expect.arrayContaining([1, 2, 3]));
    const drawn = givers.find(({ id }) => id > 3 && first.includes(id));
    if (drawn !== undefined) drawn.bytes = 0;
    givers[0]!.interested = false;
    const waiting = first.includes(4) ? 5 : 4;
    expect(table.change()).toEqual(ascending([...first.filter((id) => id !== 1), waiting]));
  });

  it('a peer that becomes interested has a free slot at once', () => {
    const table = new Table(2);
    const [first, second, third] = table.add(3, { interested: false }) as [Peer, Peer, Peer];
    expect(table.round()).toEqual([]);
    first.interested = true;
    expect(table.change()).toEqual([1]);
    second.interested = true;
    expect(table.change()).toEqual([1, 2]);
    third.interested = true;
    expect(table.change()).toEqual([1, 2]);
  });

  it('nobody is choked for a better one, nor in the round that follows a late unchoke', () => {
    const table = new Table(2);
    table.add(2);
    expect(table.change()).toEqual([1, 2]);
    table.add(5, { bytes: 9_000 });
    expect(table.change()).toEqual([1, 2]);
    expect(table.round()).toEqual([1, 2]);
    expect(table.round().filter((id) => id > 2).length).toBeGreaterThanOrEqual(1);
  });

  it('slots that are taken away are given up', () => {
    const table = new Table(8);
    for (const [index, peer] of table.add(20).entries()) peer.bytes = index * 100;
    table.round();
    table.slots = 4;
    const left = table.change();
    expect(left).toHaveLength(4);
    table.slots = 0;
    expect(table.change()).toEqual([]);
  });

  it('a peer that another hand has choked waits like the rest', () => {
    const table = new Table(1);
    const [first] = table.add(1);
    expect(table.round()).toEqual([1]);
    first!.unchoked = false;
    table.add(1, { bytes: 100 });
    const outcomes = new Set(Array.from({ length: 8 }, () => table.round()[0]));
    expect(outcomes).toEqual(new Set([1, 2]));
  });
});

describe('seeding', () => {
  const seeding = (slots: number): Table => {
    const table = new Table(slots);
    table.seeding = true;
    return table;
  };

  it('goes round: who has received 16 MiB makes room for who has waited longest', () => {
    const table = seeding(2);
    const peers = table.add(4);
    expect(table.round()).toEqual([1, 2]);
    peers[0]!.bytes = 16 * MIB;
    peers[1]!.bytes = MIB;
    expect(table.round()).toEqual([2, 3]);
    peers[2]!.bytes = 20 * MIB;
    expect(table.round()).toEqual([2, 4]);
    peers[3]!.bytes = 20 * MIB;
    expect(table.round()).toEqual([1, 2]);
  });

  it('ends a turn after a minute, however little was received', () => {
    const table = seeding(1);
    table.add(3);
    const turns = Array.from({ length: 24 }, () => table.round()[0]!);
    expect(turns).toEqual([1, 2, 3, 1].flatMap((id) => Array(6).fill(id)));
  });

  it('adds up what is received over the rounds of a turn', () => {
    const table = seeding(1);
    const [first] = table.add(2);
    first!.bytes = 6 * MIB;
    expect(Array.from({ length: 4 }, () => table.round()[0])).toEqual([1, 1, 1, 2]);
  });

  it('goes on with a turn that is over while nobody waits', () => {
    const table = seeding(2);
    table.add(2, { bytes: 100 * MIB });
    for (let round = 0; round < 20; round++) expect(table.round()).toEqual([1, 2]);
    table.add(1);
    expect(table.change()).toEqual([1, 2]);
    expect(table.round()).toContain(3);
  });

  it('counts what was received once, however often interest changes', () => {
    const table = seeding(1);
    const [first] = table.add(2);
    table.round();
    first!.bytes = 6 * MIB;
    for (let changes = 0; changes < 5; changes++) expect(table.change()).toEqual([1]);
    expect(table.round()).toEqual([1]);
  });

  it('goes on, of several turns that are over, with that of who received least', () => {
    const table = seeding(2);
    const peers = table.add(3);
    expect(table.round()).toEqual([1, 2]);
    peers[0]!.bytes = 30 * MIB;
    peers[1]!.bytes = 20 * MIB;
    expect(table.round()).toEqual([2, 3]);
  });

  it('keeps a peer for a whole round, however fast it is', () => {
    const table = seeding(1);
    table.add(1, { bytes: 100 * MIB });
    expect(table.change()).toEqual([1]);
    table.add(1);
    expect(table.round()).toEqual([1]);
    expect(table.round()).toEqual([2]);
  });

  it('sends a peer that loses interest and comes back to the end of the queue', () => {
    const table = seeding(1);
    const peers = table.add(3);
    table.round();
    peers[1]!.interested = false;
    table.change();
    peers[1]!.interested = true;
    table.change();
    peers[0]!.interested = false;
    expect(table.change()).toEqual([3]);
  });

  it('takes no notice of snubbing: they owe us nothing', () => {
    const table = seeding(4);
    table.add(4, { snubbed: true });
    expect(table.round()).toEqual([1, 2, 3, 4]);
  });

  it('begins with those that have a slot when the download is done', () => {
    const table = new Table(8);
    for (const [index, peer] of table.add(20).entries()) peer.bytes = index * 100;
    const before = table.round();
    table.seeding = true;
    expect(table.change()).toEqual(before);
    table.seeding = false;
    expect(table.change()).toEqual(before);
  });
});

describe('whatever the peers do', () => {
  const event = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant('round' as const),
        rates: fc.array(fc.oneof(fc.constant(0), fc.nat(20 * MIB)), { maxLength: 15, size: 'max' }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ type: fc.constant('come' as const), uploadOnly: fc.nat(4).map((n) => n === 0) }),
    },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('interest' as const), peer: fc.nat(30) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('leave' as const), peer: fc.nat(30) }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('snub' as const), peer: fc.nat(30) }) },
  );
  type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

  const scripts = fc.array(event, { minLength: 1, maxLength: 60, size: 'max' });

  /** Plays a script. @returns the unchoked after each event */
  function play(table: Table, script: readonly Event[], check: (event: Event, unchoked: number[]) => void): number[][] {
    let ids = 0;
    const at = (index: number): Peer | undefined => table.peers[index % Math.max(1, table.peers.length)];
    return script.map((event) => {
      const chosen = 'peer' in event ? at(event.peer) : undefined;
      if (event.type === 'come') {
        table.add(1, { id: ++ids, uploadOnly: event.uploadOnly, connectedAt: table.now });
      } else if (event.type === 'leave' && chosen !== undefined) {
        table.peers.splice(table.peers.indexOf(chosen), 1);
      } else if (event.type === 'interest' && chosen !== undefined) {
        chosen.interested = !chosen.interested;
      } else if (event.type === 'snub' && chosen !== undefined) {
        chosen.snubbed = !chosen.snubbed;
      }
      if (event.type === 'round') {
        for (const [index, peer] of table.peers.entries()) peer.bytes = event.rates[index] ?? 0;
      }
      const unchoked = event.type === 'round' ? table.round() : table.change();
      // Counted anew after each round; some give something before the next.
      for (const peer of table.peers) peer.bytes = (peer.id % 3) * 1_000;
      check(event, unchoked);
      return unchoked;
    });
  }

  const wanting = (table: Table): Peer[] =>
    table.peers.filter(({ interested, uploadOnly }) => interested && !uploadOnly);

  it('there are never more unchoked than slots, nor fewer than can be', () => {
    fc.assert(
      fc.property(fc.nat(10), fc.boolean(), fc.nat(), scripts, (slots, seeding, seed, script) => {
        const table = new Table(slots, seed % 1_000);
        table.seeding = seeding;
        play(table, script, (_, unchoked) => {
          const able = wanting(table);
          const snubbed = seeding ? 0 : able.filter((peer) => peer.snubbed).length;
          const most = able.length - snubbed + Math.min(snubbed, optimisticSlots(slots));
          expect(unchoked).toHaveLength(Math.min(slots, most));
          const ids = new Set(able.map(({ id }) => id));
          expect(unchoked.every((id) => ids.has(id))).toBe(true);
        });
      }),
    );
  });

  it('those that snub us have at most one slot in four, or one', () => {
    fc.assert(
      fc.property(fc.nat(12), fc.nat(), scripts, (slots, seed, script) => {
        const table = new Table(slots, seed % 1_000);
        play(table, script, (_, unchoked) => {
          const snubbing = table.peers.filter(({ id, snubbed }) => snubbed && unchoked.includes(id));
          expect(snubbing.length).toBeLessThanOrEqual(optimisticSlots(slots));
        });
      }),
    );
  });

  it('a peer that is unchoked stays so for a whole round, unless it loses interest or begins to snub us', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), fc.boolean(), fc.nat(), scripts, (slots, seeding, seed, script) => {
        const table = new Table(slots, seed % 1_000);
        table.seeding = seeding;
        /** Rounds seen since the unchoke; -1 for one that was given between two rounds. */
        const ages = new Map<number, number>();
        let before = new Set<number>();
        play(table, script, (event, unchoked) => {
          const now = new Set(unchoked);
          for (const [id, age] of ages) {
            const rounds = event.type === 'round' ? age + 1 : age;
            const peer = wanting(table).find((one) => one.id === id);
            if (peer === undefined || (peer.snubbed && !seeding)) ages.delete(id);
            else if (now.has(id)) ages.set(id, rounds);
            else {
              expect([id, event.type, rounds >= 1]).toEqual([id, 'round', true]);
              ages.delete(id);
            }
          }
          // One that snubbed us and was not choked for it may have drawn its slot anew.
          for (const id of unchoked) if (!before.has(id)) ages.set(id, event.type === 'round' ? 0 : -1);
          before = now;
        });
      }),
    );
  });

  it('the same choices follow from the same random numbers', () => {
    fc.assert(
      fc.property(fc.nat(10), fc.nat(1_000), scripts, (slots, seed, script) => {
        const outcomes = [0, 1].map(() => play(new Table(slots, seed), script, () => {}));
        expect(outcomes[0]).toEqual(outcomes[1]);
      }),
    );
  });

  it('each interested peer has its turn, when we seed within a minute for each that waits', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.nat(40 * MIB), { minLength: 1, maxLength: 20, size: 'max' }),
        (slots, rates) => {
          const table = new Table(slots);
          table.seeding = true;
          for (const bytes of rates) table.add(1, { bytes });
          const seen = new Set<number>();
          for (let round = 0; round < 6 * Math.ceil(rates.length / slots); round++)
            for (const id of table.round()) seen.add(id);
          expect(seen.size).toBe(rates.length);
        },
      ),
    );
  });

  it('each interested peer has its turn, when we download within three rounds for each', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.nat(40 * MIB), { minLength: 1, maxLength: 20, size: 'max' }),
        fc.nat(1_000),
        (slots, rates, seed) => {
          const table = new Table(slots, seed);
          for (const bytes of rates) table.add(1, { bytes });
          const seen = new Set<number>();
          for (let round = 0; round < 3 * rates.length; round++) for (const id of table.round()) seen.add(id);
          expect(seen.size).toBe(rates.length);
        },
      ),
    );
  });

  it('even a peer that snubs us has its turn, sooner or later', () => {
    const table = new Table(8);
    table.add(4, { bytes: 1_000 });
    table.add(6);
    table.add(6, { snubbed: true });
    const seen = new Set<number>();
    for (let round = 0; round < 300; round++) for (const id of table.round()) seen.add(id);
    expect(seen.size).toBe(16);
  });
});

/** Peers that all know one another and upload to those they unchoke, each slot an equal part. */
class SimulatedSwarm {
  readonly received: number[];
  readonly #uploads: readonly number[];
  readonly #chokers: readonly Choker[];
  /** Bytes from one peer to another in the last round. */
  #flows: number[][];
  #unchoked: ReadonlySet<number>[];
  #now = 0;

  /** @param uploads bytes each can upload in a round */
  constructor(uploads: readonly number[]) {
    this.#uploads = uploads;
    this.#chokers = uploads.map((_, index) => new Choker(randomFrom(index)));
    this.#unchoked = uploads.map(() => new Set());
    this.#flows = uploads.map(() => uploads.map(() => 0));
    this.received = uploads.map(() => 0);
  }

  round(): void {
    this.#now += ROUND_MS;
    this.#unchoked = this.#chokers.map((choker, me) => {
      const peers = this.#uploads.flatMap((_, id): ChokerPeer[] => {
        const bytes = this.#flows[id]![me]!;
        const state = { interested: true, snubbed: false, connectedAt: 0, uploadOnly: false };
        return id === me ? [] : [{ ...state, id, bytes, unchoked: this.#unchoked[me]!.has(id) }];
      });
      return choker.onRound(peers, 4, false, this.#now);
    });
    this.#flows = this.#uploads.map((upload, from) =>
      this.#uploads.map((_, to) => (this.#unchoked[from]!.has(to) ? upload / this.#unchoked[from]!.size : 0)),
    );
    for (const flow of this.#flows) for (const [to, bytes] of flow.entries()) this.received[to]! += bytes;
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;

describe('in a simulated swarm', () => {
  it('who gives more receives more, and who gives nothing little', () => {
    const uploads = [...Array(8).fill(8 * MIB), ...Array(8).fill(4 * MIB), ...Array(8).fill(MIB), ...Array(6).fill(0)];
    const swarm = new SimulatedSwarm(uploads);
    for (let round = 0; round < 100; round++) swarm.round();
    const classes = [
      swarm.received.slice(0, 8),
      swarm.received.slice(8, 16),
      swarm.received.slice(16, 24),
      swarm.received.slice(24),
    ];
    const [fast, middle, slow, none] = classes.map((part) => mean(part) / 100 / MIB) as [
      number,
      number,
      number,
      number,
    ];
    expect(fast).toBeGreaterThan(1.5 * middle);
    expect(middle).toBeGreaterThan(1.5 * slow);
    expect(slow).toBeGreaterThan(1.5 * none);
    // Nearly what they give; and nothing beyond their part of the optimistic slots.
    expect(fast).toBeGreaterThan(0.75 * 8);
    expect(middle).toBeGreaterThan(0.75 * 4);
    expect(none).toBeLessThan((1.5 * (sum(uploads) / 4)) / uploads.length / MIB);
    expect(none).toBeGreaterThan(0);
    for (const part of classes) expect(Math.min(...part) / Math.max(...part)).toBeGreaterThan(0.5);
  });

  it('a seed gives each peer as many turns as any other, of 16 MiB or a minute', () => {
    const table = new Table(4);
    table.seeding = true;
    const limits = [...Array(20).fill(40 * MIB), ...Array(20).fill(MIB)];
    table.add(limits.length);
    const received = limits.map(() => 0);
    for (let round = 0; round < 2_000; round++) {
      for (const [index, peer] of table.peers.entries()) {
        peer.bytes = peer.unchoked ? Math.min(limits[index]!, 10 * MIB) : 0;
        received[index]! += peer.bytes;
      }
      table.round();
    }
    const turns = received.map((bytes, index) => bytes / ((index < 20 ? 20 : 6) * MIB));
    expect(Math.max(...turns) - Math.min(...turns)).toBeLessThanOrEqual(1);
    expect(mean(turns)).toBeGreaterThan(40);
  });
});
