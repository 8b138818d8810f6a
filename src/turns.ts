/**
 * Whose turn it is: which torrent of a session gets the next buffers, the next dials and the next tick. All of them in turn, so
 * that none of many is starved, and none that has nothing to do is asked. What a torrent does with its turn is its own affair.
 */
import type { Options } from './options.js';
import type { Census } from './torrent/census.js';

/** A torrent, as far as turns go. */
export interface TurnTaker {
  /** Whether it still fetches. */
  readonly isFetching: boolean;
  /** Whether nothing happens in it that could not wait for a second. */
  readonly isQuiet: boolean;
  /** Its connections, established or dialled. */
  readonly connections: number;
  /** Whether it has asked for pieces it has not been given. */
  readonly wantsMore: boolean;
  /** Whether it would be given some if only there were a free buffer. */
  lacksMemory(now: number): boolean;
  /** Whether it knows addresses to dial, now or later. */
  readonly hasAddresses: boolean;
  /** Leases one run of pieces to each of its groups that want some. @returns whether any was */
  grant(now: number): boolean;
  /** Posts what was leased. */
  flushGrants(): void;
  /** Dials addresses that are due, at most `allowance`. @returns how many */
  dial(allowance: number, now: number): number;
  /** Whether addresses are due that only wait for room in the session. */
  isWaiting(now: number): boolean;
  /** The session is full: a useless peer makes room for addresses of any torrent. @returns whether one does */
  makeRoom(now: number): boolean;
  onTick(now: number): void;
}

/** Seeds without a peer and the like get a tick in so many: thousands of them cost nothing then. */
const QUIET_TICKS = 10;

/** @typeParam T the torrent */
export class Turns<T extends TurnTaker> {
  readonly #options: Pick<Options, 'halfOpen'>;
  readonly #census: Census;
  readonly #now: () => number;
  /** In the swarm. */
  readonly #joined = new Set<T>();
  /** May have something to lease, in the order of their turns. */
  readonly #wanting = new Set<T>();
  /** Want something that no free buffer would bring: looked at every tick, and not for each buffer of the others. */
  readonly #patient = new Set<T>();
  /** Know addresses to dial, in the order of their turns. */
  readonly #callers = new Set<T>();
  /** Torrents that fetched at the last tick, and those that came since. */
  #fetching = 0;
  #ticks = 0;
  #isDue = { lease: false, dial: false };

  constructor(options: Pick<Options, 'halfOpen'>, census: Census, now: () => number) {
    this.#options = options;
    this.#census = census;
    this.#now = now;
  }

  /** Whether several torrents fetch, and what one takes the others lack. */
  get isShared(): boolean {
    return this.#fetching > 1;
  }

  join(torrent: T): void {
    this.#joined.add(torrent);
    this.#fetching++;
  }

  leave(torrent: T): void {
    this.#joined.delete(torrent);
    this.#wanting.delete(torrent);
    this.#patient.delete(torrent);
    this.#callers.delete(torrent);
  }

  /** The torrent may have something to lease, or any may: a buffer has come free. */
  onCanLease(torrent: T): void {
    this.#patient.delete(torrent);
    if (this.#joined.has(torrent)) this.#wanting.add(torrent);
    this.#soon('lease', () => this.#lease(this.#now()));
  }

  /** The torrent has addresses to dial, or any may dial: there is room for more. */
  onCanDial(torrent: T): void {
    if (this.#joined.has(torrent)) this.#callers.add(torrent);
    this.#soon('dial', () => this.#dial(this.#now()));
  }

  /** After the messages that are there, so that several events cost one round: it asks every torrent that wants something. */
  #soon(what: 'lease' | 'dial', take: () => void): void {
    if (this.#isDue[what]) return;
    this.#isDue[what] = true;
    setImmediate(() => {
      this.#isDue[what] = false;
      take();
    });
  }

  onTick(now: number): void {
    this.#fetching = 0;
    const isForAll = this.#ticks++ % QUIET_TICKS === 0;
    for (const torrent of this.#joined) {
      if (isForAll || !torrent.isQuiet) torrent.onTick(now);
      if (torrent.isFetching) this.#fetching++;
    }
    // What a group's peers can give, and how much is a torrent's part of the memory, changes without a message.
    for (const torrent of this.#patient) this.#wanting.add(torrent);
    this.#patient.clear();
    if (this.#wanting.size > 0) this.#lease(now);
    this.#dial(now);
    this.#makeRoom(now);
  }

  /** One run of pieces for each that wants any, until nobody does or the budget is spent. */
  #lease(now: number): void {
    const served = new Set<T>();
    for (let asked: Iterable<T> = this.#wanting; ; ) {
      const granted = [...asked].filter((torrent) => torrent.grant(now));
      if (granted.length === 0) break;
      for (const torrent of granted) served.add(torrent);
      // Who got nothing gets nothing now: there are no more buffers than before.
      asked = granted;
    }
    for (const torrent of served) torrent.flushGrants();
    // To the end of the queue: when the budget is tight, others come first next time.
    toTheEnd(this.#wanting, served);
    for (const torrent of this.#wanting) {
      if (torrent.wantsMore && torrent.lacksMemory(now)) continue;
      this.#wanting.delete(torrent);
      if (torrent.wantsMore) this.#patient.add(torrent);
    }
  }

  /** The allowance is shared out evenly, and what some do not need of it goes to the others. */
  #dial(now: number): void {
    let allowance = Math.min(this.#options.halfOpen - this.#census.dialling, -this.#census.excess);
    // In a crowded session nobody takes more than his part of the connections.
    const most = this.#census.isCrowded ? this.#census.shareOf(this.#fetching) : Number.POSITIVE_INFINITY;
    for (let asked = [...this.#callers]; asked.length > 0 && allowance > 0; ) {
      const share = Math.ceil(allowance / asked.length);
      const served: T[] = [];
      const eager: T[] = [];
      for (const torrent of asked) {
        const own = Math.min(share, allowance, most - torrent.connections);
        const dialled = torrent.dial(own, now);
        allowance -= dialled;
        if (dialled > 0) served.push(torrent);
        if (dialled > 0 && dialled === own) eager.push(torrent);
        else if (!torrent.hasAddresses) this.#callers.delete(torrent);
        if (allowance <= 0) break;
      }
      toTheEnd(this.#callers, served);
      asked = eager;
    }
  }

  /** Where the session is full and addresses wait, one useless peer goes. */
  #makeRoom(now: number): void {
    if (this.#census.excess < 0) return;
    if (![...this.#callers].some((torrent) => torrent.isWaiting(now))) return;
    for (const torrent of this.#joined) if (torrent.makeRoom(now)) return;
  }
}

function toTheEnd<T>(queue: Set<T>, served: Iterable<T>): void {
  for (const each of served) if (queue.delete(each)) queue.add(each);
}
