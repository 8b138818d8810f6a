/**
 * The peer wire protocol after the handshake (BEP 3, fast extension BEP 6, extension protocol BEP 10): bytes <-> messages, no socket and no opinion about what a message
 * means. Incomplete input is not an error; a `WireDecoder` keeps what it needs and goes on with the next bytes, wherever
 * they were split.
 *
 * Hot path: a `piece` message is handed on chunk by chunk as it arrives, so that a block is copied once, and no object is
 * made per message.
 */

/** Bytes in a block, the unit of a request: de-facto standard; libtorrent and transmission refuse longer requests. */
export const BLOCK_LENGTH = 16_384;

export const MessageId = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  notInterested: 3,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  port: 9,
  suggest: 13,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  allowedFast: 17,
  extended: 20,
} as const;

/** The peer broke the protocol: the connection has no future. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** Where decoded messages go, in the order of the bytes. Byte arrays are only valid during the call. */
export interface WireSink {
  onKeepAlive(): void;
  onChoke(): void;
  onUnchoke(): void;
  onInterested(): void;
  onNotInterested(): void;
  onHave(index: number): void;
  onBitfield(bytes: Uint8Array): void;
  onRequest(index: number, begin: number, length: number): void;
  onCancel(index: number, begin: number, length: number): void;
  /** The header of a `piece` message; `length` payload bytes follow in chunks, then `onBlockEnd`. */
  onBlockStart(index: number, begin: number, length: number): void;
  onBlockChunk(bytes: Uint8Array, start: number, end: number): void;
  onBlockEnd(): void;
  /** The peer's DHT port (BEP 5). */
  onPort(port: number): void;
  onSuggest(index: number): void;
  onHaveAll(): void;
  onHaveNone(): void;
  onReject(index: number, begin: number, length: number): void;
  onAllowedFast(index: number): void;
  /** @param id 0 for the extended handshake, otherwise one we named in ours */
  onExtended(id: number, body: Uint8Array): void;
  /** A message of an id nobody negotiated; its body was skipped. */
  onUnknown(id: number, length: number): void;
}

/** Length of a message whose id says it all. */
const FIXED_LENGTH: Readonly<Record<number, number>> = {
  [MessageId.choke]: 1,
  [MessageId.unchoke]: 1,
  [MessageId.interested]: 1,
  [MessageId.notInterested]: 1,
  [MessageId.have]: 5,
  [MessageId.request]: 13,
  [MessageId.cancel]: 13,
  [MessageId.port]: 3,
  [MessageId.suggest]: 5,
  [MessageId.haveAll]: 1,
  [MessageId.haveNone]: 1,
  [MessageId.reject]: 13,
  [MessageId.allowedFast]: 5,
};

const PIECE_HEADER = 9;
const LENGTH_PREFIX = 4;
/** Longest `piece` body taken: nobody was asked for more than a block. */
const MAX_PIECE_MESSAGE = PIECE_HEADER + BLOCK_LENGTH;
/** Longest `extended` message taken: metadata comes in 16 KiB parts (BEP 9), handshakes and peer lists are shorter. */
const MAX_EXTENDED_MESSAGE = 65_536;
/** Longest message of any kind: a bitfield of 8M pieces, or one of an unknown id that is skipped rather than refused. */
const MAX_MESSAGE = 1_048_576;

const State = { length: 0, id: 1, body: 2, pieceHeader: 3, block: 4, skip: 5 } as const;
type State = (typeof State)[keyof typeof State];

export class WireDecoder {
  readonly #sink: WireSink;
  readonly #maxBitfield: number;
  #state: State = State.length;
  /** Bytes of the current part still to come. */
  #missing = LENGTH_PREFIX;
  /** Small parts are collected here: the longest is the body of a request. */
  readonly #head = new Uint8Array(12);
  #collected = 0;
  #paused = false;
  /** A long body that came in more than one read. */
  #large: Uint8Array | undefined;
  #id = 0;
  #length = 0;

  /** @param maxBitfield longest bitfield taken, in bytes: what is announced is allocated */
  constructor(sink: WireSink, maxBitfield: number = MAX_MESSAGE) {
    this.#sink = sink;
    this.#maxBitfield = maxBitfield;
  }

  /**
   * Takes the bytes `start` to `end` and calls the sink for what they complete.
   * @returns where it stopped: `end`, or less when the sink called `pause`
   * @throws WireError as soon as the bytes cannot be the protocol
   */
  push(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && !this.#paused) {
      const take = Math.min(this.#missing, end - at);
      this.#missing -= take;
      switch (this.#state) {
        case State.block:
          this.#sink.onBlockChunk(bytes, at, at + take);
          if (this.#missing === 0) this.#endBlock();
          break;
        case State.skip:
          if (this.#missing === 0) this.#endUnknown();
          break;
        case State.body:
          this.#collectBody(bytes, at, take);
          break;
        default:
          for (let i = 0; i < take; i++) this.#head[this.#collected++] = bytes[at + i]!;
          if (this.#missing === 0) this.#endHead();
      }
      at += take;
    }
    return at;
  }

  /** Stops `push` after the current message: the connection was closed by what it said. */
  pause(): void {
    this.#paused = true;
  }

  #expect(state: State, missing: number): void {
    this.#state = state;
    this.#missing = missing;
    this.#collected = 0;
  }

  #endHead(): void {
    const head = this.#head;
    switch (this.#state) {
      case State.length:
        this.#length = readUint32(head, 0);
        if (this.#length > MAX_MESSAGE) {
          throw new WireError(`message of ${this.#length} bytes, at most ${MAX_MESSAGE} are taken`);
        }
        if (this.#length > 0) return this.#expect(State.id, 1);
        this.#expect(State.length, LENGTH_PREFIX);
        return this.#sink.onKeepAlive();
      case State.id:
        return this.#startMessage(head[0]!);
      default:
        return this.#startBlock(readUint32(head, 0), readUint32(head, 4));
    }
  }

  #startMessage(id: number): void {
    const length = this.#length;
    this.#id = id;
    if (id === MessageId.piece) {
      if (length < PIECE_HEADER || length > MAX_PIECE_MESSAGE) {
        throw new WireError(`piece message of ${length} bytes, expected ${PIECE_HEADER} to ${MAX_PIECE_MESSAGE}`);
      }
      return this.#expect(State.pieceHeader, PIECE_HEADER - 1);
    }
    const fixed = FIXED_LENGTH[id];
    if (fixed !== undefined && length !== fixed) {
      throw new WireError(`message ${id} of ${length} bytes, expected ${fixed}`);
    }
    const cap = this.#capOf(id);
    if (length > cap) throw new WireError(`message ${id} of ${length} bytes, at most ${cap} are taken`);
    const known = fixed !== undefined || id === MessageId.bitfield || id === MessageId.extended;
    this.#expect(known ? State.body : State.skip, length - 1);
    if (this.#missing > 0) return;
    if (known) this.#endBody(this.#head, 0);
    else this.#endUnknown();
  }

  #capOf(id: number): number {
    if (id === MessageId.bitfield) return 1 + this.#maxBitfield;
    return id === MessageId.extended ? MAX_EXTENDED_MESSAGE : MAX_MESSAGE;
  }

  /** A body that is whole in the input is read in place, any other is collected first. */
  #collectBody(bytes: Uint8Array, at: number, take: number): void {
    if (this.#collected === 0 && this.#missing === 0) return this.#endBody(bytes, at);
    const length = this.#length - 1;
    if (length > this.#head.length) this.#large ??= new Uint8Array(length);
    const target = this.#large ?? this.#head;
    target.set(bytes.subarray(at, at + take), this.#collected);
    this.#collected += take;
    if (this.#missing > 0) return;
    this.#large = undefined;
    this.#endBody(target, 0);
  }

  #endBody(bytes: Uint8Array, at: number): void {
    const sink = this.#sink;
    const length = this.#length - 1;
    this.#expect(State.length, LENGTH_PREFIX);
    switch (this.#id) {
      case MessageId.choke:
        return sink.onChoke();
      case MessageId.unchoke:
        return sink.onUnchoke();
      case MessageId.interested:
        return sink.onInterested();
      case MessageId.notInterested:
        return sink.onNotInterested();
      case MessageId.have:
        return sink.onHave(readUint32(bytes, at));
      case MessageId.bitfield:
        return sink.onBitfield(bytes.subarray(at, at + length));
      case MessageId.request:
        return sink.onRequest(readUint32(bytes, at), readUint32(bytes, at + 4), readUint32(bytes, at + 8));
      case MessageId.cancel:
        return sink.onCancel(readUint32(bytes, at), readUint32(bytes, at + 4), readUint32(bytes, at + 8));
      case MessageId.suggest:
        return sink.onSuggest(readUint32(bytes, at));
      case MessageId.haveAll:
        return sink.onHaveAll();
      case MessageId.haveNone:
        return sink.onHaveNone();
      case MessageId.reject:
        return sink.onReject(readUint32(bytes, at), readUint32(bytes, at + 4), readUint32(bytes, at + 8));
      case MessageId.allowedFast:
        return sink.onAllowedFast(readUint32(bytes, at));
      case MessageId.extended:
        if (length === 0) throw new WireError('extended message without an id');
        return sink.onExtended(bytes[at]!, bytes.subarray(at + 1, at + length));
      default:
        return sink.onPort((bytes[at]! << 8) | bytes[at + 1]!);
    }
  }

  #startBlock(index: number, begin: number): void {
    const length = this.#length - PIECE_HEADER;
    this.#expect(State.block, length);
    this.#sink.onBlockStart(index, begin, length);
    if (length === 0) this.#endBlock();
  }

  #endBlock(): void {
    this.#expect(State.length, LENGTH_PREFIX);
    this.#sink.onBlockEnd();
  }

  #endUnknown(): void {
    this.#expect(State.length, LENGTH_PREFIX);
    this.#sink.onUnknown(this.#id, this.#length - 1);
  }
}

export const KEEP_ALIVE: Uint8Array = new Uint8Array(4);
export const CHOKE: Uint8Array = encodeEmpty(MessageId.choke);
export const UNCHOKE: Uint8Array = encodeEmpty(MessageId.unchoke);
export const INTERESTED: Uint8Array = encodeEmpty(MessageId.interested);
export const NOT_INTERESTED: Uint8Array = encodeEmpty(MessageId.notInterested);

/** BEP 6: a bitfield in one byte. */
export const HAVE_ALL: Uint8Array = encodeEmpty(MessageId.haveAll);
export const HAVE_NONE: Uint8Array = encodeEmpty(MessageId.haveNone);

/** @param bytes a bitfield in wire form */
export function encodeBitfield(bytes: Uint8Array): Uint8Array {
  const message = new Uint8Array(5 + bytes.length);
  writeUint32(message, 0, 1 + bytes.length);
  message[4] = MessageId.bitfield;
  message.set(bytes, 5);
  return message;
}

/** HAVE messages for several pieces, in one buffer. */
export function encodeHaves(indices: readonly number[]): Uint8Array {
  return encodeIndices(MessageId.have, indices);
}

/** BEP 6: pieces the peer may ask for while it is choked. */
export function encodeAllowedFast(indices: readonly number[]): Uint8Array {
  return encodeIndices(MessageId.allowedFast, indices);
}

/** BEP 6: a request that will not be answered. */
export function encodeReject(index: number, begin: number, length: number): Uint8Array {
  const bytes = new Uint8Array(REQUEST_LENGTH);
  writeTriple(bytes, 0, MessageId.reject, index, begin, length);
  return bytes;
}

/** BEP 10. @param id the id the peer named for the extension, 0 for the handshake */
export function encodeExtended(id: number, body: Uint8Array): Uint8Array {
  const message = new Uint8Array(6 + body.length);
  writeUint32(message, 0, 2 + body.length);
  message[4] = MessageId.extended;
  message[5] = id;
  message.set(body, 6);
  return message;
}

export const REQUEST_LENGTH = 17;

/** Writes one `request` at `at`; a batch of them shares a buffer. */
export function writeRequest(bytes: Uint8Array, at: number, index: number, begin: number, length: number): void {
  writeTriple(bytes, at, MessageId.request, index, begin, length);
}

/** Writes one `cancel` at `at`. */
export function writeCancel(bytes: Uint8Array, at: number, index: number, begin: number, length: number): void {
  writeTriple(bytes, at, MessageId.cancel, index, begin, length);
}

export const BLOCK_HEADER_LENGTH = 13;

/** Writes the header of a `piece` message of `length` payload bytes at `at`; the payload follows it. */
export function writeBlockHeader(bytes: Uint8Array, at: number, index: number, begin: number, length: number): void {
  writeUint32(bytes, at, PIECE_HEADER + length);
  bytes[at + 4] = MessageId.piece;
  writeUint32(bytes, at + 5, index);
  writeUint32(bytes, at + 9, begin);
}

/** The DHT port (BEP 5). */
export function encodePort(port: number): Uint8Array {
  return Uint8Array.of(0, 0, 0, 3, MessageId.port, port >>> 8, port & 0xff);
}

function encodeEmpty(id: number): Uint8Array {
  return Uint8Array.of(0, 0, 0, 1, id);
}

function encodeIndices(id: number, indices: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(9 * indices.length);
  indices.forEach((index, i) => {
    writeUint32(bytes, 9 * i, 5);
    bytes[9 * i + 4] = id;
    writeUint32(bytes, 9 * i + 5, index);
  });
  return bytes;
}

function writeTriple(bytes: Uint8Array, at: number, id: number, index: number, begin: number, length: number): void {
  writeUint32(bytes, at, 13);
  bytes[at + 4] = id;
  writeUint32(bytes, at + 5, index);
  writeUint32(bytes, at + 9, begin);
  writeUint32(bytes, at + 13, length);
}

function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
