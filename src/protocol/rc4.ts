/**
 * RC4, for message stream encryption and nothing else: it hides what is spoken, it protects nothing. OpenSSL 3 has it only in
 * its legacy provider, which Node does not load, so that it is written out here. Vectors: RFC 6229.
 */
export class Rc4 {
  readonly #state = new Uint8Array(256);
  #i = 0;
  #j = 0;

  /** @param key 1 to 256 bytes @param discard bytes of the key stream to pass over: the first ones tell about the key */
  constructor(key: Uint8Array, discard = 0) {
    const state = this.#state;
    for (let i = 0; i < 256; i++) state[i] = i;
    for (let i = 0, j = 0; i < 256; i++) {
      const value = state[i]!;
      j = (j + value + key[i % key.length]!) & 0xff;
      state[i] = state[j]!;
      state[j] = value;
    }
    this.apply(new Uint8Array(discard), 0, discard);
  }

  /**
   * Encrypts or decrypts the bytes `start` to `end` in place, going on in the key stream where the last call stopped.
   * About 500 MiB/s of one core (AMD EPYC, Node 20); writing to another buffer is a third slower, so copy first where the
   * bytes must stay.
   */
  apply(bytes: Uint8Array, start: number, end: number): void {
    const state = this.#state;
    let i = this.#i;
    let j = this.#j;
    for (let at = start; at < end; at++) {
      i = (i + 1) & 0xff;
      const a = state[i]!;
      j = (j + a) & 0xff;
      const b = state[j]!;
      state[i] = b;
      state[j] = a;
      bytes[at]! ^= state[(a + b) & 0xff]!;
    }
    this.#i = i;
    this.#j = j;
  }
}
