/**
 * What a group measures when main asks it to (`GroupStart.measure`): the thread's figures, messages to and from main, and how
 * long each block took from request to last byte. It listens beside the connection, to plaintext of dialled peers, with a
 * decoder of its own: the engine's path knows nothing of it.
 */

import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { GroupFigures } from '../src/messages.js';
import { HANDSHAKE_LENGTH } from '../src/protocol/handshake.js';
import { BLOCK_LENGTH, WireDecoder, WireError, type WireSink } from '../src/protocol/wire.js';
import { ThreadMeter } from '../src/thread-meter.js';

/** Latencies are counted in steps of a twentieth of an octave, from a microsecond on. */
const STEPS_PER_OCTAVE = 20;
const BUCKETS = 30 * STEPS_PER_OCTAVE;
const FIRST_MS = 0.001;
/** A piece length is at most 512 MiB. */
const MAX_BLOCKS_PER_PIECE = 32_768;

export class Probe {
  readonly #thread = new ThreadMeter();
  readonly #latency = new Array<number>(BUCKETS).fill(0);
  #messages = 0;

  /** A message went to main or came from it. */
  onMessage(): void {
    this.#messages++;
  }

  /** Listens to a socket that is about to be dialled. @returns what is to be told of the bytes it receives */
  tap(socket: Socket): (bytes: Uint8Array, start: number, end: number) => void {
    const asked = new Map<number, number>();
    const heard = new Listener((index, begin) => {
      const key = keyOf(index, begin);
      const at = asked.get(key);
      if (at === undefined) return;
      asked.delete(key);
      this.#latency[bucketOf(performance.now() - at)]!++;
    });
    const said = new Listener(undefined, (index, begin) => void asked.set(keyOf(index, begin), performance.now()));
    const write = socket.write.bind(socket) as (bytes: Uint8Array) => boolean;
    socket.write = (bytes: Uint8Array | string) => {
      if (typeof bytes !== 'string') said.push(bytes, 0, bytes.length);
      return write(bytes as Uint8Array);
    };
    return (bytes, start, end) => heard.push(bytes, start, end);
  }

  figures(): GroupFigures {
    return { ...this.#thread.figures(), messages: this.#messages, latency: [...this.#latency] };
  }

  stop(): void {
    this.#thread.stop();
  }
}

const keyOf = (index: number, begin: number): number => index * MAX_BLOCKS_PER_PIECE + Math.floor(begin / BLOCK_LENGTH);

function bucketOf(ms: number): number {
  const step = Math.floor(Math.log2(Math.max(ms, FIRST_MS) / FIRST_MS) * STEPS_PER_OCTAVE);
  return Math.min(step, BUCKETS - 1);
}

/** Hears the requests and blocks of one direction; what is no plaintext protocol is not for it to judge. */
class Listener implements WireSink {
  readonly #decoder = new WireDecoder(this);
  readonly #onBlock: ((index: number, begin: number) => void) | undefined;
  readonly #onAsked: ((index: number, begin: number) => void) | undefined;
  #handshake = HANDSHAKE_LENGTH;
  #deaf = false;
  #index = 0;
  #begin = 0;

  constructor(onBlock?: (index: number, begin: number) => void, onAsked?: (index: number, begin: number) => void) {
    this.#onBlock = onBlock;
    this.#onAsked = onAsked;
  }

  push(bytes: Uint8Array, start: number, end: number): void {
    const skip = Math.min(this.#handshake, end - start);
    this.#handshake -= skip;
    if (this.#deaf) return;
    try {
      this.#decoder.push(bytes, start + skip, end);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#deaf = true;
    }
  }

  onRequest(index: number, begin: number): void {
    this.#onAsked?.(index, begin);
  }

  onBlockStart(index: number, begin: number): void {
    this.#index = index;
    this.#begin = begin;
  }

  onBlockEnd(): void {
    this.#onBlock?.(this.#index, this.#begin);
  }

  onBlockChunk(): void {}
  onKeepAlive(): void {}
  onChoke(): void {}
  onUnchoke(): void {}
  onInterested(): void {}
  onNotInterested(): void {}
  onHave(): void {}
  onBitfield(): void {}
  onCancel(): void {}
  onPort(): void {}
  onSuggest(): void {}
  onHaveAll(): void {}
  onHaveNone(): void {}
  onReject(): void {}
  onAllowedFast(): void {}
  onExtended(): void {}
  onUnknown(): void {}
}
