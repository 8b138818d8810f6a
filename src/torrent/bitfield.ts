/**
 * A fixed-size set of piece indices in wire order: the high bit of byte 0 is piece 0 (BEP 3, `bitfield`). Pure.
 * Keeps its count, so that "is it a seed" costs nothing.
 */
export class Bitfield {
  /** Wire form, spare bits zero. Treat as read-only: `set` and `clear` keep `count` true. */
  readonly bytes: Uint8Array;
  readonly size: number;
  #count = 0;

  /** @param size number of bits */
  constructor(size: number) {
    this.size = size;
    this.bytes = new Uint8Array(Math.ceil(size / 8));
  }

  /**
   * A bitfield from its wire form, copied. BEP 3: exact length, spare bits zero.
   * @returns `undefined` when either rule is broken
   */
  static fromWire(bytes: Uint8Array, size: number): Bitfield | undefined {
    const bitfield = new Bitfield(size);
    if (bytes.length !== bitfield.bytes.length) return undefined;
    const spare = bytes.length * 8 - size;
    if (spare > 0 && (bytes[bytes.length - 1]! & ((1 << spare) - 1)) !== 0) return undefined;
    bitfield.bytes.set(bytes);
    for (let i = 0; i < bytes.length; i++) bitfield.#count += BITS[bytes[i]!]!;
    return bitfield;
  }

  /** A bitfield with every bit set. */
  static full(size: number): Bitfield {
    const bitfield = new Bitfield(size);
    bitfield.bytes.fill(0xff);
    const spare = bitfield.bytes.length * 8 - size;
    if (spare > 0) bitfield.bytes[bitfield.bytes.length - 1] = 0xff & ~((1 << spare) - 1);
    bitfield.#count = size;
    return bitfield;
  }

  /** Number of set bits. */
  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === this.size;
  }

  /** False for an index outside the set, so that a caller need not check twice. */
  has(index: number): boolean {
    return index < this.size && (this.bytes[index >>> 3]! & (0x80 >>> (index & 7))) !== 0;
  }

  /** @returns whether the bit was clear before; an index outside the set is left alone */
  set(index: number): boolean {
    if (!(index >= 0 && index < this.size) || this.has(index)) return false;
    this.bytes[index >>> 3]! |= 0x80 >>> (index & 7);
    this.#count++;
    return true;
  }

  /** @returns whether the bit was set before */
  clear(index: number): boolean {
    if (!this.has(index)) return false;
    this.bytes[index >>> 3]! &= ~(0x80 >>> (index & 7));
    this.#count--;
    return true;
  }

  /** Adds all that another one of the same size has. */
  include(other: Bitfield): void {
    for (let i = 0; i < this.bytes.length; i++) {
      const news = other.bytes[i]! & ~this.bytes[i]!;
      if (news === 0) continue;
      this.bytes[i]! |= news;
      this.#count += BITS[news]!;
    }
  }

  /** The set indices, ascending. */
  [Symbol.iterator](): IterableIterator<number> {
    return this.without(undefined);
  }

  /** The set indices that another one of the same size has not, ascending. */
  *without(other: Bitfield | undefined): IterableIterator<number> {
    for (let i = 0; i < this.bytes.length; i++) {
      const bits = this.bytes[i]! & ~(other?.bytes[i] ?? 0);
      if (bits === 0) continue;
      for (let bit = 0; bit < 8; bit++) if ((bits & (0x80 >>> bit)) !== 0) yield i * 8 + bit;
    }
  }
}

const BITS = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length);
