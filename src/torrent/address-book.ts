/**
 * The addresses of one torrent and where they are from. Trackers and whoever we are connected to are believed; what peers tell
 * (BEP 11) is hearsay until a connection proves it: anybody can tell thousands of addresses, so that these have their bounds
 * and are dialled after equals. Pure.
 */
import { addressKey } from '../protocol/address.js';
import { type Dialable, DialQueue, type Rank } from './dial-queue.js';

export interface Sourced extends Dialable {
  /** The host that told it; `undefined` when it is no hearsay. */
  teller: string | undefined;
}

/** Addresses remembered; then one that brings nothing is forgotten, which makes room for another. */
const MAX_ADDRESSES = 10_000;
/** Of these, hearsay. */
const MAX_HEARSAY = MAX_ADDRESSES / 2;
/** Of these, from one host: the first messages of two connections. */
const MAX_PER_TELLER = 200;
/** Of these, at one host, whoever told them: who names a thousand ports of somebody has us knock at each. */
const MAX_PER_HOST = 8;
/** Failures after which hearsay makes room for other; sooner, whoever tells it again would have it dialled without a wait. */
const PATIENCE = 3;

export class AddressBook<Entry extends Sourced> {
  readonly #entries = new Map<string, Entry>();
  readonly #believed = new DialQueue<Entry>();
  readonly #hearsay = new DialQueue<Entry>();
  /** Hearsay by the host that told it, and by the host it is of. */
  readonly #told = new Tally();
  readonly #at = new Tally();

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  values(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  /** Whether there is no room for another address that this host tells, or that is no hearsay. */
  isFull(teller: string | undefined): boolean {
    if (this.#entries.size >= MAX_ADDRESSES) return true;
    return teller !== undefined && (this.#hearsay.size >= MAX_HEARSAY || this.#told.of(teller) >= MAX_PER_TELLER);
  }

  /** Whether no more is to be told of a host. */
  isKnownEnough(host: string): boolean {
    return this.#at.of(host) >= MAX_PER_HOST;
  }

  /** Whether an address that failed once more is to make room for another. */
  givesWay({ teller, failures }: Entry): boolean {
    return this.isFull(undefined) || (this.isFull(teller) && failures + 1 >= PATIENCE);
  }

  add(entry: Entry): void {
    this.#entries.set(addressKey(entry.address), entry);
    this.#queueOf(entry).add(entry);
    this.#count(entry, 1);
  }

  delete(entry: Entry): void {
    if (!this.#entries.delete(addressKey(entry.address))) return;
    this.#queueOf(entry).delete(entry);
    this.#count(entry, -1);
  }

  /** An address is no hearsay any more: it has been connected to, or a tracker names it too. */
  believe(entry: Entry): void {
    if (entry.teller === undefined) return;
    this.#hearsay.delete(entry);
    this.#count(entry, -1);
    entry.teller = undefined;
    this.#believed.add(entry);
  }

  /** Hearsay that nobody has looked into. */
  *untried(): IterableIterator<Entry> {
    for (const entry of this.#hearsay) if (entry.state === 'idle' && entry.failures === 0) yield entry;
  }

  /** Addresses never tried are dialled before those that failed. */
  toTheEnd(entry: Entry): void {
    if (this.#entries.has(addressKey(entry.address))) this.#queueOf(entry).add(entry);
  }

  /** An address that could not be dialled can be. */
  onIdle(entry: Entry): void {
    this.#queueOf(entry).onIdle();
  }

  /** The address to dial next: hearsay only where it failed less often. */
  next(now: number, rank: Rank | undefined): Entry | undefined {
    const believed = this.#believed.next(now, rank);
    if (believed?.failures === 0) return believed;
    const heard = this.#hearsay.next(now, rank);
    if (believed === undefined || heard === undefined) return believed ?? heard;
    return heard.failures < believed.failures ? heard : believed;
  }

  #queueOf({ teller }: Entry): DialQueue<Entry> {
    return teller === undefined ? this.#believed : this.#hearsay;
  }

  #count({ teller, address }: Entry, by: 1 | -1): void {
    if (teller === undefined) return;
    this.#told.add(teller, by);
    this.#at.add(address.host, by);
  }
}

/** How many of each there are. */
class Tally {
  readonly #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: string, by: number): void {
    const count = this.of(key) + by;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}
