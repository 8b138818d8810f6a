import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MseHandshake, type MseResult, skeyHash } from '../../../src/protocol/mse.js';
import { WireError } from '../../../src/protocol/wire.js';
import { answerOf, cipherOf, HandMadeEnd, keyOf, offerOf, PRIME, sha1, VC } from '../../helpers/mse-by-hand.js';

const INFOHASH = Buffer.from('00112233445566778899aabbccddeeff01020304', 'hex');
const OTHER = Buffer.alloc(20, 7);
/** Stands for a handshake. */
const PAYLOAD = Buffer.from('\x13BitTorrent protocol and so on');
const KEY_A = Buffer.from('a1'.repeat(20), 'hex');
const KEY_B = Buffer.from('b2'.repeat(20), 'hex');
const DATA_A = Buffer.from('bytes of the dialler that follow the handshake');
const DATA_B = Buffer.from('bytes of the accepter that follow the handshake');

/** Random bytes that are none: the private key first, then a pad of `length` bytes. */
function randomOf(privateKey: Buffer, length: number): (count: number) => Uint8Array {
  const answers = [privateKey, Buffer.from([length >> 8, length & 0xff]), Buffer.alloc(length, 0x55)];
  return (count) => {
    const answer = answers.shift() ?? Buffer.alloc(0);
    expect(answer.length).toBe(count);
    return answer;
  };
}

class End {
  readonly handshake: MseHandshake;
  /** All it has sent. */
  sent = Buffer.alloc(0);
  /** What came after the handshake, decrypted. */
  received = Buffer.alloc(0);
  #encrypted = 0;

  private constructor(start: (send: (bytes: Uint8Array) => void) => MseHandshake) {
    this.handshake = start((bytes) => {
      this.sent = Buffer.concat([this.sent, bytes]);
    });
  }

  static a({
    pad = 30,
    rc4Only = false,
    payload = PAYLOAD,
    infohash = INFOHASH,
    random = randomOf(KEY_A, pad),
  } = {}): End {
    return new End((send) => MseHandshake.initiate({ infohash, payload, rc4Only, random, send }));
  }

  static b({ pad = 17, rc4Only = false, random = randomOf(KEY_B, pad) } = {}): End {
    return new End((send) => MseHandshake.respond({ rc4Only, random, send }));
  }

  get result(): MseResult | undefined {
    return this.handshake.result;
  }

  /** Takes a copy of the bytes, since they are decrypted in place; answers the question for a torrent. */
  take(bytes: Uint8Array, infohash = INFOHASH): void {
    const copy = Buffer.from(bytes);
    const at = this.result === undefined ? this.#agree(copy, infohash) : 0;
    if (this.result === undefined) return;
    const stop = Math.min(copy.length, at + this.#encrypted);
    this.result.incoming?.apply(copy, at, stop);
    this.#encrypted -= stop - at;
    this.received = Buffer.concat([this.received, copy.subarray(at)]);
  }

  #agree(bytes: Buffer, infohash: Buffer): number {
    let at = this.handshake.push(bytes, 0, bytes.length);
    if (this.handshake.name !== undefined) {
      this.handshake.answer(infohash);
      at = this.handshake.push(bytes, at, bytes.length);
    }
    this.#encrypted = this.result?.incomingBytes ?? 0;
    return at;
  }

  send(bytes: Uint8Array): void {
    const copy = Buffer.from(bytes);
    this.result?.outgoing?.apply(copy, 0, copy.length);
    this.sent = Buffer.concat([this.sent, copy]);
  }
}

/** Lets both ends talk; every flight arrives in the pieces that `cut` makes of it. */
function converse(a: End, b: End, cut: (flight: Buffer) => readonly Buffer[]): void {
  let [seenByA, seenByB] = [0, 0];
  while (seenByA < b.sent.length || seenByB < a.sent.length) {
    const toB = a.sent.subarray(seenByB);
    seenByB = a.sent.length;
    for (const bytes of cut(toB)) b.take(bytes);
    const toA = b.sent.subarray(seenByA);
    seenByA = b.sent.length;
    for (const bytes of cut(toA)) a.take(bytes);
  }
}

function expectAgreement(
  a: End,
  b: End,
  method: 'rc4' | 'plaintext',
  cut: (flight: Buffer) => readonly Buffer[],
): void {
  converse(a, b, cut);
  expect(b.received).toEqual(PAYLOAD);
  const [sentByA, sentByB] = [a.sent.length, b.sent.length];
  a.send(DATA_A);
  b.send(DATA_B);
  expect(a.sent.subarray(sentByA).equals(DATA_A)).toBe(method === 'plaintext');
  expect(b.sent.subarray(sentByB).equals(DATA_B)).toBe(method === 'plaintext');
  for (const bytes of cut(a.sent.subarray(sentByA))) b.take(bytes);
  for (const bytes of cut(b.sent.subarray(sentByB))) a.take(bytes);
  expect(b.received).toEqual(Buffer.concat([PAYLOAD, DATA_A]));
  expect(a.received).toEqual(DATA_B);
}

const whole = (flight: Buffer): Buffer[] => [flight];
const single = (flight: Buffer): Buffer[] => [...flight].map((byte) => Buffer.from([byte]));
const cutAt =
  (at: number) =>
  (flight: Buffer): Buffer[] => [flight.subarray(0, at), flight.subarray(at)];

function refusal(act: () => void): string {
  try {
    act();
  } catch (error) {
    if (error instanceof WireError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('the two ends', () => {
  it.each(['rc4', 'plaintext'] as const)('agree on %s whatever the split points', (method) => {
    const rc4Only = method === 'rc4';
    for (let at = 0; at <= 180; at++) expectAgreement(End.a({ rc4Only }), End.b(), method, cutAt(at));
    expectAgreement(End.a({ rc4Only }), End.b(), method, whole);
    expectAgreement(End.a({ rc4Only }), End.b(), method, single);
  });

  it('prefer plaintext payload, and take RC4 when either insists', () => {
    expectAgreement(End.a(), End.b(), 'plaintext', whole);
    expectAgreement(End.a({ rc4Only: true }), End.b(), 'rc4', whole);
    expectAgreement(End.a(), End.b({ rc4Only: true }), 'rc4', whole);
    expectAgreement(End.a({ rc4Only: true }), End.b({ rc4Only: true }), 'rc4', whole);
  });

  it('agree with pads of any length, up to 512 bytes', () => {
    for (const pad of [0, 1, 511, 512]) expectAgreement(End.a({ pad }), End.b({ pad: 512 - pad }), 'plaintext', single);
  });

  it('agree with keys and pads at random', () => {
    for (let run = 0; run < 100; run++) {
      const [a, b] = [End.a({ random: randomBytes }), End.b({ random: randomBytes })];
      expectAgreement(a, b, 'plaintext', cutAt(run * 7));
      expect(a.sent.length).toBeLessThanOrEqual(96 + 512 + 40 + 16 + PAYLOAD.length + DATA_A.length);
    }
  });

  it('agree without an initial payload', () => {
    const [a, b] = [End.a({ payload: Buffer.alloc(0) }), End.b()];
    converse(a, b, single);
    expect(b.result).toMatchObject({ incomingBytes: 0, outgoing: undefined });
    a.send(DATA_A);
    b.take(a.sent.subarray(-DATA_A.length));
    expect(b.received).toEqual(DATA_A);
  });

  it('do not agree on a torrent that only one has', () => {
    const [a, b] = [End.a(), End.b()];
    b.take(a.sent);
    a.take(b.sent);
    expect(refusal(() => b.take(a.sent.subarray(96 + 30), OTHER))).toBe('verification constant is not zero');
  });
});

describe('the end that dials', () => {
  const hand = new HandMadeEnd(KEY_B);

  it('sends its public key and a pad, then hashes, the offer and its payload', () => {
    const a = End.a({ pad: 5 });
    const y = new HandMadeEnd(KEY_A).publicKey;
    expect(a.sent).toEqual(Buffer.concat([y, Buffer.alloc(5, 0x55)]));
    a.take(hand.publicKey);
    const { req1, name, a: cipher } = hand.agree(y, INFOHASH);
    const third = Buffer.concat([req1, name, cipher(offerOf(3, 0, PAYLOAD))]);
    expect(a.sent.subarray(101)).toEqual(third);
    expect(a.handshake.name).toBeUndefined();
  });

  it('offers RC4 alone where it is required', () => {
    const a = End.a({ rc4Only: true });
    a.take(hand.publicKey);
    const { a: cipher } = hand.agree(a.sent.subarray(0, 96), INFOHASH);
    expect(cipher(a.sent.subarray(96 + 30 + 40))).toEqual(offerOf(2, 0, PAYLOAD));
  });

  it('sends a public key of 96 bytes even when it starts with zeros', () => {
    const key = Buffer.alloc(20);
    key[19] = 200;
    expect(End.a({ random: randomOf(key, 0) }).sent).toEqual(keyOf(2n ** 200n));
  });

  function answered(answer: Buffer, { padB = 0, rc4Only = false } = {}): End {
    const a = End.a({ rc4Only });
    const { b } = hand.agree(a.sent.subarray(0, 96), INFOHASH);
    a.take(Buffer.concat([hand.publicKey, Buffer.alloc(padB, 0xaa), b(answer)]));
    return a;
  }

  it('takes a second pad of up to 512 bytes', () => {
    for (const padD of [0, 1, 512]) expect(answered(answerOf(1, padD)).result).toBeDefined();
    expect(refusal(() => answered(answerOf(1, 513)))).toBe('pad of 513 bytes, at most 512 are taken');
    expect(refusal(() => answered(answerOf(2, 65_535)))).toBe('pad of 65535 bytes, at most 512 are taken');
  });

  it('finds the verification constant within 512 bytes of the key, and no later', () => {
    for (const padB of [0, 1, 7, 512]) expect(answered(answerOf(2, 0), { padB }).result).toBeDefined();
    expect(refusal(() => answered(answerOf(2, 0), { padB: 513 }))).toBe(
      'verification constant does not follow within 512 bytes of the key',
    );
  });

  it('gives up when the verification constant never comes', () => {
    const a = End.a();
    a.take(hand.publicKey);
    a.take(Buffer.alloc(519, 0xaa));
    expect(refusal(() => a.take(Buffer.from([0xaa])))).toContain('does not follow within 512 bytes');
  });

  it.each([0, 3, 4, 256, 65_282])('refuses the selection of method %d', (method) => {
    expect(refusal(() => answered(answerOf(method, 0)))).toBe(
      `encryption method ${method} was selected of the offered 3`,
    );
  });

  it('refuses plaintext that it did not offer', () => {
    expect(refusal(() => answered(answerOf(1, 0), { rc4Only: true }))).toBe(
      'encryption method 1 was selected of the offered 2',
    );
    expect(answered(answerOf(2, 0), { rc4Only: true }).result?.outgoing).toBeDefined();
  });
});

describe('the end that accepts', () => {
  const hand = new HandMadeEnd(KEY_A);

  /** A responder that has been dialled by hand up to the infohash. */
  function dialled({ padA = 0, rc4Only = false } = {}) {
    const end = End.b({ pad: 0, rc4Only });
    end.take(Buffer.concat([hand.publicKey, Buffer.alloc(padA, 0xaa)]));
    const agreement = hand.agree(end.sent.subarray(0, 96), INFOHASH);
    end.take(agreement.req1);
    return { end, ...agreement };
  }

  function offered(offer: Buffer, settings: { rc4Only?: boolean } = {}): End {
    const { end, name, a } = dialled(settings);
    end.take(Buffer.concat([name, a(offer)]));
    return end;
  }

  it('sends nothing before the whole public key is here, then its own and a pad', () => {
    const b = End.b({ pad: 3 });
    b.take(hand.publicKey.subarray(0, 95));
    expect(b.sent.length).toBe(0);
    b.take(hand.publicKey.subarray(95));
    expect(b.sent).toEqual(Buffer.concat([new HandMadeEnd(KEY_B).publicKey, Buffer.alloc(3, 0x55)]));
  });

  it('learns what the peer calls the torrent and waits for its infohash', () => {
    const { end, name, a, b } = dialled();
    const bytes = Buffer.concat([name, a(offerOf(3, 9, PAYLOAD)), DATA_A]);
    expect(end.handshake.push(bytes, 0, bytes.length)).toBe(20);
    expect(end.handshake.push(bytes, 20, bytes.length)).toBe(20);
    const expected = createHash('sha1').update('req2').update(INFOHASH).digest();
    expect(Buffer.from(end.handshake.name!)).toEqual(expected);
    expect(Buffer.from(skeyHash(INFOHASH))).toEqual(expected);
    expect(end.sent.length).toBe(96);
    end.handshake.answer(INFOHASH);
    expect(end.handshake.name).toBeUndefined();
    // IA is decrypted by whoever takes what follows the handshake.
    expect(end.handshake.push(bytes, 20, bytes.length)).toBe(20 + 8 + 4 + 2 + 9 + 2);
    expect(end.result).toMatchObject({ incomingBytes: PAYLOAD.length, outgoing: undefined });
    expect(b(end.sent.subarray(96))).toEqual(answerOf(1, 0));
  });

  it('answers RC4 when plaintext is not offered, and selects nothing it does not know', () => {
    for (const methods of [2, 6, 0xff02]) {
      const b = offered(offerOf(methods, 0, PAYLOAD));
      expect(b.result?.incomingBytes).toBe(Number.POSITIVE_INFINITY);
      expect(b.received).toEqual(PAYLOAD);
    }
    expect(refusal(() => offered(offerOf(4, 0, PAYLOAD)))).toBe('encryption methods 4 are offered, none is known');
    expect(refusal(() => offered(offerOf(0, 0, PAYLOAD)))).toBe('encryption methods 0 are offered, none is known');
  });

  it('refuses an offer of plaintext alone where RC4 is required', () => {
    expect(refusal(() => offered(offerOf(1, 0, PAYLOAD), { rc4Only: true }))).toBe(
      'encryption methods 1 are offered, RC4 is required',
    );
    expect(offered(offerOf(3, 0, PAYLOAD), { rc4Only: true }).result?.outgoing).toBeDefined();
  });

  it('takes a second pad of up to 512 bytes', () => {
    for (const padC of [0, 1, 512]) expect(offered(offerOf(1, padC, PAYLOAD)).received).toEqual(PAYLOAD);
    expect(refusal(() => offered(offerOf(1, 513, PAYLOAD)))).toBe('pad of 513 bytes, at most 512 are taken');
  });

  it('takes an initial payload of 65,535 bytes without keeping any of it', () => {
    const payload = Buffer.alloc(65_535, 0x77);
    expect(offered(Buffer.concat([offerOf(1, 0, payload), DATA_A])).received.length).toBe(65_535 + DATA_A.length);
  });

  it('finds the hash of the secret within 512 bytes of the key, and no later', () => {
    for (const padA of [0, 1, 19, 20, 512]) {
      const { end, name } = dialled({ padA });
      expect(end.handshake.push(name, 0, 20)).toBe(20);
      expect(end.handshake.name).toBeDefined();
    }
    const reason = 'hash of the shared secret does not follow within 512 bytes of the key';
    expect(refusal(() => dialled({ padA: 513 }))).toBe(reason);
    const b = End.b();
    b.take(hand.publicKey);
    b.take(Buffer.alloc(531));
    expect(refusal(() => b.take(Buffer.alloc(1)))).toBe(reason);
  });

  it('takes the hash of the secret even when the pad ends like its beginning', () => {
    const b = End.b({ pad: 0 });
    b.take(hand.publicKey);
    const { req1, name } = hand.agree(b.sent.subarray(0, 96), INFOHASH);
    for (const length of [19, 5, 1]) b.take(req1.subarray(0, length));
    b.take(req1);
    expect(b.handshake.push(name, 0, 20)).toBe(20);
    expect(Buffer.from(b.handshake.name!)).toEqual(sha1('req2', INFOHASH));
  });
});

describe('both ends, facing nonsense', () => {
  const degenerate: readonly [string, Buffer][] = [
    ['0', keyOf(0n)],
    ['1', keyOf(1n)],
    ['the prime less one', keyOf(PRIME - 1n)],
    ['the prime', keyOf(PRIME)],
  ];
  it.each(degenerate)('have no use for the public key %s', (_what, key) => {
    const reason = 'the peer has no proper public key';
    expect(refusal(() => End.a().take(key))).toBe(reason);
    expect(refusal(() => End.b().take(key))).toBe(reason);
  });

  it('end in an error or wait for more, and never agree', () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 12 });
    fc.assert(
      fc.property(chunks, fc.boolean(), (bytes, dials) => {
        const end = dials ? End.a({ random: randomBytes }) : End.b({ random: randomBytes });
        const outcome = refusal(() => {
          for (const chunk of bytes) end.take(chunk);
        });
        const length = bytes.reduce((sum, chunk) => sum + chunk.length, 0);
        expect(end.result).toBeUndefined();
        if (length >= 96 + 512 + 20) expect(outcome).not.toBe('accepted');
      }),
    );
  });

  it('notice a flipped bit in what is decrypted, or go on with a payload that makes no sense', () => {
    fc.assert(
      fc.property(fc.nat(8 + 4 + 2 + 2 - 1), fc.nat(7), (at, bit) => {
        const hand = new HandMadeEnd(KEY_A);
        const b = End.b({ pad: 0 });
        b.take(hand.publicKey);
        const { req1, name, a } = hand.agree(b.sent.subarray(0, 96), INFOHASH);
        const offer = a(offerOf(3, 0, PAYLOAD));
        offer[at]! ^= 1 << bit;
        const outcome = refusal(() => b.take(Buffer.concat([req1, name, offer])));
        if (at < VC.length) expect(outcome).toBe('verification constant is not zero');
        else expect(outcome).toMatch(/^(accepted|pad of \d+ bytes, at most 512 are taken)$/);
      }),
    );
  });

  it('use RC4 with the first 1024 bytes of its key stream passed over', () => {
    // Ties the cipher by hand to RFC 6229.
    const stream = cipherOf(Buffer.from('0102030405', 'hex'))(Buffer.alloc(16));
    expect(stream.toString('hex')).toBe('30abbcc7c20b01609f23ee2d5f6bb7df');
  });
});
