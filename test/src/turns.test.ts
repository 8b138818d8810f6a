// Torrents that are played by hand: what they are asked, and in which order.
import { describe, expect, it } from 'vitest';
import { Census } from '../../src/torrent/census.js';
import { Turns, type TurnTaker } from '../../src/turns.js';

/** All of them share a pool of buffers. */
class World {
  readonly census: Census;
  readonly turns: Turns<Torrent>;
  /** Buffers that are free. */
  buffers = 0;
  /** What happened, in order. */
  readonly log: string[] = [];

  constructor(maxPeers = 1_000, halfOpen = 100) {
    this.census = new Census(maxPeers);
    this.turns = new Turns({ halfOpen }, this.census, () => 0);
  }

  join(name: string): Torrent {
    const torrent = new Torrent(this, name);
    this.turns.join(torrent);
    return torrent;
  }

  /** What happened since the last call. */
  said(): string[] {
    return this.log.splice(0);
  }
}

class Torrent implements TurnTaker {
  readonly name: string;
  readonly #world: World;
  isFetching = true;
  isQuiet = false;
  connections = 0;
  /** Runs it could start. */
  wants = 0;
  /** It has as many buffers as are its part. */
  hasItsPart = false;
  /** Addresses that are due. */
  due = 0;
  hasLaterAddresses = false;
  canMakeRoom = false;
  ticks = 0;

  constructor(world: World, name: string) {
    this.#world = world;
    this.name = name;
  }

  get wantsMore(): boolean {
    return this.wants > 0;
  }

  lacksMemory(): boolean {
    return !this.hasItsPart && this.#world.buffers === 0;
  }

  get hasAddresses(): boolean {
    return this.due > 0 || this.hasLaterAddresses;
  }

  grant(): boolean {
    if (this.hasItsPart) this.#world.log.push(`${this.name} has its part`);
    if (this.hasItsPart || this.wants === 0 || this.#world.buffers === 0) return false;
    this.wants--;
    this.#world.buffers--;
    this.#world.log.push(this.name);
    return true;
  }

  flushGrants(): void {
    this.#world.log.push(`${this.name}!`);
  }

  dial(allowance: number): number {
    const count = Math.max(0, Math.min(allowance, this.due));
    if (this.due === 0 && !this.hasLaterAddresses) this.#world.log.push(`${this.name} has none`);
    this.due -= count;
    this.connections += count;
    this.#world.census.onChange(0, count);
    if (count > 0) this.#world.log.push(`${this.name} ${count}`);
    return count;
  }

  isWaiting(): boolean {
    return this.due > 0;
  }

  makeRoom(): boolean {
    if (this.canMakeRoom) this.#world.log.push(`${this.name} makes room`);
    return this.canMakeRoom;
  }

  onTick(): void {
    this.ticks++;
  }
}

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('buffers', () => {
  it('go to the torrents by turns, once the present message is dealt with', async () => {
    const world = new World();
    const [a, b] = [world.join('a'), world.join('b')];
    world.buffers = 100;
    [a.wants, b.wants] = [3, 1];
    for (const torrent of [a, b, a]) world.turns.onCanLease(torrent);
    expect(world.said()).toEqual([]);
    await soon();
    expect(world.said()).toEqual(['a', 'b', 'a', 'a', 'a!', 'b!']);
  });

  it('go to those who had none the last time, when there are few', async () => {
    const world = new World();
    const torrents = ['a', 'b', 'c'].map((name) => world.join(name));
    for (const torrent of torrents) {
      torrent.wants = 10;
      world.turns.onCanLease(torrent);
    }
    const got: string[] = [];
    for (let round = 0; round < 3; round++) {
      world.buffers = 2;
      world.turns.onCanLease(torrents[0]!);
      await soon();
      got.push(world.said().join(''));
    }
    expect(got).toEqual(['aba!b!', 'cac!a!', 'bcb!c!']);
  });

  it('are offered with a tick to those who still want some, and to nobody else', async () => {
    const world = new World();
    const [a, b] = [world.join('a'), world.join('b')];
    [a.wants, b.wants] = [1, 0];
    for (const torrent of [a, b]) world.turns.onCanLease(torrent);
    await soon();
    world.buffers = 5;
    b.wants = 1;
    world.turns.onTick(0);
    expect(world.said()).toEqual(['a', 'a!']);
  });

  it('are not offered to those who have their part, until the next tick or their next word', async () => {
    const world = new World();
    const [a, b] = [world.join('a'), world.join('b')];
    [a.wants, b.wants] = [1, 10];
    a.hasItsPart = true;
    for (const torrent of [a, b]) world.turns.onCanLease(torrent);
    await soon();
    expect(world.said()).toEqual(['a has its part']);
    world.buffers = 1;
    world.turns.onCanLease(b);
    await soon();
    expect(world.said()).toEqual(['b', 'b!']);
    world.turns.onTick(0);
    expect(world.said()).toEqual(['a has its part']);
    a.hasItsPart = false;
    world.buffers = 2;
    world.turns.onCanLease(a);
    await soon();
    expect(world.said()).toEqual(['b', 'a', 'b!', 'a!']);
  });

  it('that a torrent gives back at its end go to the others', async () => {
    const world = new World();
    const [a, b] = [world.join('a'), world.join('b')];
    [a.wants, b.wants] = [1, 1];
    world.turns.onCanLease(b);
    world.turns.leave(a);
    await soon();
    world.buffers = 2;
    world.turns.onCanLease(a);
    await soon();
    expect(world.said()).toEqual(['b', 'b!']);
  });
});

describe('dials', () => {
  it('are shared out evenly, and what some do not need goes to the others', async () => {
    const world = new World(1_000, 12);
    const torrents = [1, 100, 100].map((due, n) => Object.assign(world.join('abc'[n]!), { due }));
    for (const torrent of torrents) world.turns.onCanDial(torrent);
    await soon();
    expect(torrents.map(({ connections }) => connections)).toEqual([1, 6, 5]);
    expect(world.census.dialling).toBe(12);
  });

  it('go to those first who had none the last time', async () => {
    const world = new World(1_000, 2);
    const torrents = ['a', 'b', 'c'].map((name) => Object.assign(world.join(name), { due: 10 }));
    for (const torrent of torrents) world.turns.onCanDial(torrent);
    await soon();
    world.census.onChange(0, -2);
    world.turns.onTick(0);
    expect(world.said()).toEqual(['a 1', 'b 1', 'c 1', 'a 1']);
  });

  it('are not offered to a torrent that has told of no address since it had none', async () => {
    const world = new World();
    const [a, b] = [world.join('a'), Object.assign(world.join('b'), { hasLaterAddresses: true })];
    for (const torrent of [a, b]) world.turns.onCanDial(torrent);
    await soon();
    expect(world.said()).toEqual(['a has none']);
    b.due = 1;
    world.turns.onTick(0);
    expect(world.said()).toEqual(['b 1']);
    a.due = 1;
    world.turns.onTick(0);
    expect(world.said()).toEqual([]);
    world.turns.onCanDial(a);
    await soon();
    expect(world.said()[0]).toBe('a 1');
  });

  it('are few enough that the session is never too full', async () => {
    const world = new World(20, 100);
    const a = Object.assign(world.join('a'), { due: 100 });
    world.turns.onCanDial(a);
    await soon();
    expect([a.connections, world.census.excess]).toEqual([20, 0]);
  });

  it('of a crowded session are for those who have less than their part of it', async () => {
    const world = new World(40, 100);
    const a = Object.assign(world.join('a'), { due: 100, connections: 21 });
    const b = Object.assign(world.join('b'), { due: 100 });
    world.census.onChange(21, 0);
    for (const torrent of [a, b]) world.turns.onCanDial(torrent);
    await soon();
    // Half of the 40 for each of two that fetch, of which 19 are free.
    expect([a.connections, b.connections]).toEqual([21, 19]);
    Object.assign(b, { isFetching: false, due: 0 });
    world.census.onChange(0, -10);
    world.turns.onTick(0);
    expect(a.connections).toBe(31);
  });

  it('wait in a full session until one useless peer has gone for them', async () => {
    const world = new World(10);
    const [a, b, c] = [world.join('a'), world.join('b'), world.join('c')];
    world.census.onChange(10, 0);
    [b.canMakeRoom, c.canMakeRoom] = [true, true];
    world.turns.onTick(0);
    expect(world.said()).toEqual([]);
    a.due = 1;
    world.turns.onCanDial(a);
    world.turns.onTick(0);
    expect(world.said()).toEqual(['b makes room']);
  });
});

describe('ticks', () => {
  it('come to those who have joined and not left', () => {
    const world = new World();
    const [a, b] = [world.join('a'), world.join('b')];
    world.turns.onTick(0);
    world.turns.leave(a);
    world.turns.onTick(0);
    expect([a.ticks, b.ticks]).toEqual([1, 2]);
  });

  it('come seldom to those where nothing happens', () => {
    const world = new World();
    const [a, b] = [world.join('a'), Object.assign(world.join('b'), { isQuiet: true })];
    for (let tick = 0; tick < 20; tick++) world.turns.onTick(0);
    expect([a.ticks, b.ticks]).toEqual([20, 2]);
    b.isQuiet = false;
    world.turns.onTick(0);
    world.turns.onTick(0);
    expect(b.ticks).toBe(4);
  });
});
