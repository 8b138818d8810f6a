/**
 * How much a peer may say that is of no use to anybody: repeated HAVEs, chokes to and fro, requests that cannot be served, ids
 * never negotiated. So much at once and a steady rate on top is more than any honest client says; who goes on wastes our time and
 * is sent away. Pure; times are passed in.
 */
import type { Options } from '../options.js';
import { WireError } from '../protocol/wire.js';
import { Pace } from './pace.js';

/** What costs as much as so many short messages: a handshake or a bitfield that is parsed, beside its bytes. */
export const LONG_MESSAGE = 20;
/** Which cost as much to receive and look through as a short message. */
const BYTES_PER_MESSAGE = 100;

/** What a message of so many bytes costs, in short ones. The longest bitfield there can be (6 million pieces) may still come again. */
export const costOfBytes = (bytes: number): number => Math.max(1, Math.ceil(bytes / BYTES_PER_MESSAGE));

export class IdleTalk {
  readonly #most: number;
  readonly #pace: Pace;

  constructor({ idleTalk, idleTalkPerSecond }: Pick<Options, 'idleTalk' | 'idleTalkPerSecond'>) {
    this.#most = idleTalk;
    this.#pace = new Pace(idleTalk, idleTalkPerSecond);
  }

  /** @throws WireError when it is too much */
  onMessage(now: number, weight = 1): void {
    if (this.#pace.available(now) < weight) throw new WireError(`more than ${this.#most} messages of no use`);
    this.#pace.take(weight);
  }
}
