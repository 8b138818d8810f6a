/**
 * How much a peer may say that is of no use to anybody: repeated HAVEs, chokes to and fro, requests that cannot be served, ids
 * never negotiated. So much at once and a steady rate on top is more than any honest client says; who goes on wastes our time and
 * is sent away. Pure; times are passed in.
 */
import type { Options } from '../options.js';
import { WireError } from '../protocol/wire.js';

/** What costs as much as so many short messages: a handshake or a bitfield that is parsed, beside its bytes. */
export const LONG_MESSAGE = 20;
/** Which cost as much to receive and look through as a short message. */
const BYTES_PER_MESSAGE = 100;

/** What a message of so many bytes costs, in short ones. The longest bitfield there can be (6 million pieces) may still come again. */
export const costOfBytes = (bytes: number): number => Math.max(1, Math.ceil(bytes / BYTES_PER_MESSAGE));

export class IdleTalk {
  readonly #most: number;
  readonly #perMs: number;
  /** Messages that are borne at `#at`. */
  #left: number;
  #at: number;

  constructor({ idleTalk, idleTalkPerSecond }: Pick<Options, 'idleTalk' | 'idleTalkPerSecond'>, now: number) {
    this.#most = idleTalk;
    this.#perMs = idleTalkPerSecond / 1000;
    this.#left = idleTalk;
    this.#at = now;
  }

  /** @throws WireError when it is too much */
  onMessage(now: number, weight = 1): void {
    if (now > this.#at) {
      this.#left = Math.min(this.#most, this.#left + (now - this.#at) * this.#perMs);
      this.#at = now;
    }
    this.#left -= weight;
    if (this.#left < 0) throw new WireError(`more than ${this.#most} messages of no use`);
  }
}
