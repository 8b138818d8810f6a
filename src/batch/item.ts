/** One item of a batch, from the list to its row in the report: what is known of it, and when what happened. */
import { resolve } from 'node:path';
import { factsOf, type SpateError } from '../errors.js';
import type { Download } from '../session.js';
import { type Checked, type Entry, formatPlace } from './entry.js';
import type { Outcome } from './journal.js';
import type { Row, RowState } from './report.js';

/** Times are in ms on the batch's clock. */
export class Item {
  readonly entry: Entry;
  readonly infohash: string;
  readonly name: string;
  /** Bytes of the wanted files. */
  readonly length: number;
  /** Folder of the payload. */
  readonly out: string;
  state: RowState = 'queued';
  error: unknown;
  /** While it is in the session. */
  download: Download | undefined;
  /** Why it is being taken out before it is done: `demoted` to be tried again, an error for good. */
  stopReason: 'demoted' | 'stopped' | SpateError | undefined;
  /** All of it was on disk before anything was fetched. */
  wasThere = false;
  /** Starts, and those in a row that brought nothing. */
  attempts = 0;
  failures = 0;
  readonly #addedAt: number;
  #firstStartAt: number | undefined;
  #startedAt = 0;
  #metadataAt: number | undefined;
  #firstByteAt: number | undefined;
  /** In the session, all attempts before the present one together. */
  #activeMs = 0;
  #isActive = false;
  /** Of the attempts before the present one. */
  #before = { downloaded: 0, uploaded: 0, wasted: 0 };
  #latest = { downloaded: 0, uploaded: 0, wasted: 0 };
  #have = 0;
  /** Found on disk by the present attempt. */
  #haveBefore = 0;

  /** @param out the batch's folder, for an item that names none */
  constructor({ entry, infohash, name, length }: Checked, out: string, now: number) {
    this.entry = entry;
    this.infohash = infohash;
    this.name = name;
    this.length = length;
    this.out = entry.out ?? out;
    this.#addedAt = now;
  }

  /** Where the payload is. */
  get path(): string {
    return resolve(this.out, this.name);
  }

  /** What the journal knows it by. */
  get key(): string {
    const files = this.entry.select?.map((range) => range.join('-')).join(',');
    return `${this.infohash} ${this.path}${files === undefined ? '' : ` ${files}`}`;
  }

  get downloaded(): number {
    return this.#before.downloaded + this.#latest.downloaded;
  }

  get uploaded(): number {
    return this.#before.uploaded + this.#latest.uploaded;
  }

  /** The present attempt has brought a piece; bytes alone may be bad ones. */
  get hasMoved(): boolean {
    return this.#have > this.#haveBefore;
  }

  activeMs(now: number): number {
    return this.#activeMs + (this.#isActive ? now - this.#startedAt : 0);
  }

  onStart(now: number): void {
    this.attempts++;
    this.#firstStartAt ??= now;
    this.#startedAt = now;
    this.#isActive = true;
  }

  onMetadata(now: number): void {
    this.#metadataAt ??= now;
  }

  /** It is in the session from now on: what it waited for others to be hashed is no time of its own. */
  onEntered(now: number): void {
    this.#startedAt = now;
  }

  /** What is on disk has been judged. @param isThere it is all that is wanted */
  onChecked(isThere: boolean): void {
    this.wasThere = isThere;
    this.#have = this.#haveBefore = this.download?.stats().have ?? 0;
  }

  /** Looks at the statistics. @returns bytes that have come since the last call, and are still to come */
  onTick(): { readonly bytes: number; readonly left: number } {
    const stats = this.download?.stats();
    if (stats === undefined) return { bytes: 0, left: this.length };
    const { downloaded, uploaded, wasted, have, left } = stats;
    const bytes = downloaded - this.#latest.downloaded;
    this.#firstByteAt ??= this.download?.firstByteAt;
    this.#latest = { downloaded, uploaded, wasted };
    this.#have = have;
    return { bytes, left };
  }

  /** It has left the session, or has all it wants there. */
  onEnd(now: number): void {
    if (!this.#isActive) return;
    this.#isActive = false;
    this.#activeMs += now - this.#startedAt;
  }

  /** The attempt is over. */
  onLeft(): void {
    const { downloaded, uploaded, wasted } = this.#before;
    this.#before = {
      downloaded: downloaded + this.#latest.downloaded,
      uploaded: uploaded + this.#latest.uploaded,
      wasted: wasted + this.#latest.wasted,
    };
    this.#latest = { downloaded: 0, uploaded: 0, wasted: 0 };
    this.download = undefined;
    this.stopReason = undefined;
  }

  toOutcome(): Outcome {
    const { error } = this;
    return {
      state: error === undefined ? 'done' : 'failed',
      length: this.length,
      downloaded: this.downloaded,
      seconds: rounded(this.#activeMs),
      attempts: this.attempts,
      ...(error !== undefined && { error: factsOf(error) }),
    };
  }

  toRow(): Row {
    const { entry, attempts, downloaded, uploaded } = this;
    const isThere = this.state === 'done' || this.state === 'already';
    const since = (at: number | undefined) =>
      at === undefined || this.#firstStartAt === undefined ? null : rounded(at - this.#firstStartAt);
    return {
      id: entry.id ?? null,
      source: entry.source,
      place: formatPlace(entry.place),
      infohash: this.infohash,
      name: this.name,
      path: this.path,
      state: this.state,
      length: this.length,
      have: isThere ? this.length : this.#have,
      downloaded,
      uploaded,
      wasted: this.#before.wasted + this.#latest.wasted,
      queueSeconds: this.#firstStartAt === undefined ? null : rounded(this.#firstStartAt - this.#addedAt),
      metadataSeconds: since(this.#metadataAt),
      firstByteSeconds: since(this.#firstByteAt),
      seconds: attempts === 0 ? null : rounded(this.#activeMs),
      downRate: downloaded > 0 && this.#activeMs > 0 ? Math.round((downloaded / this.#activeMs) * 1000) : null,
      attempts,
      error: this.error === undefined ? null : factsOf(this.error),
    };
  }
}

/** Seconds to the millisecond. */
const rounded = (ms: number): number => Math.round(ms) / 1000;
