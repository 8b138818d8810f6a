/**
 * The one `SharedArrayBuffer` of an active torrent: control data that main and its groups would otherwise send to and fro.
 * Never payload. Each section has one writer.
 *
 * | section | bytes | written by | read by |
 * | --- | --- | --- | --- |
 * | piece hashes | 20 per piece | main, before sharing | groups |
 * | scarce flag, spent flag | 2 x int32 | main | groups |
 * | per group: seeds, version, any-piece flag | 3 x int32 | the group | main |
 * | per group: availability, uint16 per piece | 2 per piece | the group | main |
 * | per group: hungry bitset | 1 bit per piece | the group | main |
 *
 * Availability counts peers that have the piece and are no seeds: seeds change no order. The *hungry* bitset names the
 * pieces that the group's peers could be asked for; the any-piece flag stands for a full one. A torn read costs a lease that
 * comes back unused, never correctness.
 */

const HASH_LENGTH = 20;
const FLAGS_LENGTH = 8;
const HEADER_LENGTH = 12;

const align = (bytes: number): number => (bytes + 3) & ~3;

/** Bytes the memory of a torrent takes. */
function sizeOf(pieceCount: number, groupCount: number): number {
  return groupsAt(pieceCount) + groupCount * groupLength(pieceCount);
}

function groupsAt(pieceCount: number): number {
  return align(HASH_LENGTH * pieceCount) + FLAGS_LENGTH;
}

function groupLength(pieceCount: number): number {
  return HEADER_LENGTH + align(2 * pieceCount) + align(Math.ceil(pieceCount / 8));
}

export class SharedMemory {
  readonly buffer: SharedArrayBuffer;
  readonly pieceCount: number;
  /** SHA-1 of each piece, 20 bytes each. */
  readonly hashes: Uint8Array;
  readonly #flags: Int32Array;

  constructor(buffer: SharedArrayBuffer, pieceCount: number) {
    this.buffer = buffer;
    this.pieceCount = pieceCount;
    this.hashes = new Uint8Array(buffer, 0, HASH_LENGTH * pieceCount);
    this.#flags = new Int32Array(buffer, align(HASH_LENGTH * pieceCount), 2);
  }

  /** @param hashes 20 bytes per piece */
  static create(hashes: Uint8Array, groupCount: number): SharedMemory {
    const pieceCount = hashes.length / HASH_LENGTH;
    const memory = new SharedMemory(new SharedArrayBuffer(sizeOf(pieceCount, groupCount)), pieceCount);
    memory.hashes.set(hashes);
    return memory;
  }

  /** Whether main has pieces to lease but no buffers for them: who waits for work then need not ask for what others owe. */
  get isSpent(): boolean {
    return this.#flags[1] === 1;
  }

  set isSpent(spent: boolean) {
    this.#flags[1] = spent ? 1 : 0;
  }

  /** Whether buffers are few: no peer is to be asked for more than it gives soon. */
  get isScarce(): boolean {
    return this.#flags[0] === 1;
  }

  set isScarce(scarce: boolean) {
    this.#flags[0] = scarce ? 1 : 0;
  }

  section(group: number): GroupSection {
    return new GroupSection(this, group);
  }
}

/** One group's part. */
export class GroupSection {
  /** seeds, version, any-piece flag */
  readonly #header: Int32Array;
  /** Peers that are no seeds and have the piece. */
  readonly availability: Uint16Array;
  /** Wire order, as a bitfield. */
  readonly hungry: Uint8Array;

  constructor(memory: SharedMemory, group: number) {
    const { buffer, pieceCount } = memory;
    const start = groupsAt(pieceCount) + group * groupLength(pieceCount);
    this.#header = new Int32Array(buffer, start, 3);
    this.availability = new Uint16Array(buffer, start + HEADER_LENGTH, pieceCount);
    this.hungry = new Uint8Array(buffer, start + HEADER_LENGTH + align(2 * pieceCount), Math.ceil(pieceCount / 8));
  }

  get seeds(): number {
    return this.#header[0]!;
  }

  set seeds(count: number) {
    this.#header[0] = count;
  }

  /** Changes whenever availability does. */
  get version(): number {
    return this.#header[1]!;
  }

  touch(): void {
    this.#header[1]!++;
  }

  /** Whether the group's hungry peers can give any piece: `hungry` is not rewritten then. */
  get anyPiece(): boolean {
    return this.#header[2] === 1;
  }

  set anyPiece(any: boolean) {
    this.#header[2] = any ? 1 : 0;
  }

  canGive(piece: number): boolean {
    return this.anyPiece || (this.hungry[piece >>> 3]! & (0x80 >>> (piece & 7))) !== 0;
  }

  /** Main, after the group died: its peers are gone. */
  reset(): void {
    this.seeds = 0;
    this.anyPiece = false;
    this.availability.fill(0);
    this.hungry.fill(0);
    this.touch();
  }
}
