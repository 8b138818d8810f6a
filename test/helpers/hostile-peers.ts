// Peers that mean harm, or are broken as if they did. Each is a script for one connection and is named for what it does; its
// promise resolves when the deed is done, and rejects when the client hung up before.
import {
  bitfield,
  block,
  FAST_AND_EXTENDED,
  fullBitfield,
  handshakeOf,
  have,
  message,
  type RawPeer,
  request,
  ScriptedPeer,
  UNCHOKE,
} from './scripted-peer.js';
import type { SmallTorrent } from './small-torrent.js';

/** @param times a flood is made so many times longer: as it is in the tests when absent */
export type HostileScript = (peer: RawPeer, torrent: SmallTorrent, times?: number) => Promise<void>;

interface Asked {
  readonly piece: number;
  readonly begin: number;
  readonly length: number;
}

const BLOCK = 16_384;
const HOSTILE_ID = '-XX6666-hostile-peer';
const KIB_64 = 65_536;

const askedOf = (body: Buffer): Asked => ({
  piece: body.readUInt32BE(0),
  begin: body.readUInt32BE(4),
  length: body.readUInt32BE(8),
});

const truthOf = ({ payload, pieceLength }: SmallTorrent, { piece, begin, length }: Asked): Buffer =>
  block(piece, begin, payload.subarray(piece * pieceLength + begin, piece * pieceLength + begin + length));

const poisonOf = ({ piece, begin, length }: Asked): Buffer => block(piece, begin, Buffer.alloc(length, 0x66));

const repeated = (bytes: Buffer, atLeast: number): Buffer =>
  Buffer.concat(Array.from({ length: Math.ceil(atLeast / bytes.length) }, () => bytes));

/** An extended message (BEP 10) with a body as it is. */
export const extended = (id: number, body: string | Buffer): Buffer =>
  message(20, Buffer.concat([Buffer.from([id]), Buffer.from(body)]));

/** The compact form of loopback addresses where nobody listens. */
function closedAddresses(count: number, from = 0): Buffer {
  const bytes = Buffer.alloc(count * 6);
  for (let i = 0; i < count; i++) bytes.set([127, 1, (from + i) >> 8, (from + i) & 0xff, 0, 1], i * 6);
  return bytes;
}

const pexOf = (addresses: Buffer): Buffer =>
  extended(1, Buffer.concat([Buffer.from(`d5:added${addresses.length}:`), addresses, Buffer.from('e')]));

/** Shakes hands and claims every piece. */
async function claimAll(peer: RawPeer, torrent: SmallTorrent, reserved?: Buffer<ArrayBuffer>): Promise<void> {
  await peer.bytes(68);
  peer.send(handshakeOf(torrent.infohash, HOSTILE_ID, reserved), bitfield(fullBitfield(torrent.pieceCount)));
}

/** Unchokes who is interested. @returns the first request */
async function firstRequest(peer: RawPeer): Promise<Asked> {
  await peer.nextOf(2);
  peer.send(UNCHOKE);
  return askedOf((await peer.nextOf(6)).body);
}

/**
 * Answers every request. The deed is done with the first answer, or, with the fast extension, when the client has worked off
 * that one: a reject of a request of ours shows it.
 */
async function answering(peer: RawPeer, answer: (asked: Asked) => Buffer, fast = false): Promise<void> {
  peer.send(answer(await firstRequest(peer)));
  if (fast) peer.send(request(0, 0, BLOCK));
  return new Promise((resolve, reject) => {
    const others = async (): Promise<void> => {
      for (;;) {
        const { id, body } = await peer.next();
        if (id === 6) peer.send(answer(askedOf(body)));
        if (id === 16) resolve();
      }
    };
    others().catch(reject);
    if (!fast) resolve();
  });
}

/** With the fast extension: resolves when the client has worked off all that was sent before, shown by the answer to this. */
async function caughtUp(peer: RawPeer): Promise<void> {
  peer.send(request(0, 0, BLOCK));
  await peer.nextOf(16);
}

/** Writes the bytes again and again, no faster than they are taken. */
async function pour(peer: RawPeer, bytes: Buffer, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    await new Promise<void>((resolve, reject) =>
      peer.socket.write(bytes, (error) => (error == null ? resolve() : reject(error))),
    );
  }
}

/** Sends bytes one at a time. @returns when the connection has closed */
async function trickle(peer: RawPeer, bytes: Buffer, everyMs = 10): Promise<void> {
  let at = 0;
  const timer = setInterval(() => peer.socket.write(bytes.subarray(at, ++at)), everyMs);
  await peer.closed;
  clearInterval(timer);
}

/** After the handshake says something that nobody may say, and waits to be cut off. */
const unforgivable =
  (words: (torrent: SmallTorrent) => Buffer, reserved?: Buffer<ArrayBuffer>): HostileScript =>
  async (peer, torrent) => {
    await peer.bytes(68);
    peer.send(handshakeOf(torrent.infohash, HOSTILE_ID, reserved), words(torrent));
    await peer.closed;
  };

/** 60,000 requests to a client that chokes it and has nothing. The bitfield comes last: what answers it was sent after all. */
export const floodsRequests: HostileScript = async (peer, torrent, times = 1) => {
  await peer.bytes(68);
  peer.send(handshakeOf(torrent.infohash, HOSTILE_ID));
  await pour(peer, repeated(request(0, 0, BLOCK), KIB_64), 16 * times);
  peer.send(bitfield(fullBitfield(torrent.pieceCount)));
  await peer.nextOf(2);
};

export const floodsHaves: HostileScript = async (peer, torrent, times = 1) => {
  await peer.bytes(68);
  peer.send(handshakeOf(torrent.infohash, HOSTILE_ID, FAST_AND_EXTENDED));
  const all = Array.from({ length: torrent.pieceCount }, (_, piece) => have(piece));
  await pour(peer, repeated(Buffer.concat(all), KIB_64), 50 * times);
  await caughtUp(peer);
};

export const neverAnswers: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent);
  await firstRequest(peer);
};

export const answersAByteAtATime: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent);
  trickle(peer, truthOf(torrent, await firstRequest(peer)));
};

export const answersAByteASecond: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent);
  trickle(peer, truthOf(torrent, await firstRequest(peer)), 1_000);
};

/** Never unchokes, so that nothing can have been asked of it. */
export const sendsPoisonUnasked: HostileScript = async (peer, torrent, times = 1) => {
  await claimAll(peer, torrent, FAST_AND_EXTENDED);
  const whole = torrent.pieceCount - 1;
  for (let n = 0; n < whole * times; n++) {
    await pour(peer, poisonOf({ piece: n % whole, begin: 0, length: BLOCK }), 1);
  }
  await caughtUp(peer);
};

/** Claims the first half and answers with the other one. */
export const answersForTheWrongPiece: HostileScript = async (peer, torrent) => {
  const half = torrent.pieceCount >> 1;
  const claimed = Buffer.alloc(Math.ceil(torrent.pieceCount / 8));
  for (let piece = 0; piece < half; piece++) claimed[piece >> 3]! |= 0x80 >> (piece & 7);
  await peer.bytes(68);
  peer.send(handshakeOf(torrent.infohash, HOSTILE_ID, FAST_AND_EXTENDED), bitfield(claimed));
  await answering(
    peer,
    ({ piece, begin }) => poisonOf({ piece: half + (piece % (half - 1)), begin, length: BLOCK }),
    true,
  );
};

export const answersFromTheWrongPlace: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent);
  await answering(peer, ({ piece, begin, length }) => poisonOf({ piece, begin: begin + 1, length: length - 1 }));
};

/** The second copy is poison. */
export const answersTwice: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent, FAST_AND_EXTENDED);
  await answering(peer, (asked) => Buffer.concat([truthOf(torrent, asked), poisonOf(asked)]), true);
};

/** Both copies are right. */
export const answersRightTwice: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent, FAST_AND_EXTENDED);
  await answering(peer, (asked) => repeated(truthOf(torrent, asked), 2 * BLOCK), true);
};

/** Answers in between. */
export const chokesTwentyTimesASecond: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent, FAST_AND_EXTENDED);
  const timer = setInterval(() => peer.send(message(0), UNCHOKE), 50);
  peer.closed.then(() => clearInterval(timer));
  await answering(peer, (asked) => truthOf(torrent, asked), true);
};

/** Chokes and unchokes every few milliseconds, and answers nothing. */
export const chokesAndUnchokes: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent);
  await firstRequest(peer);
  const timer = setInterval(() => peer.send(message(0), UNCHOKE), 5);
  peer.closed.then(() => clearInterval(timer));
};

/** Chokes and unchokes without being asked anything, and waits to be cut off. */
export const floodsChokes: HostileScript = async (peer, torrent, times = 1) => {
  await claimAll(peer, torrent);
  await pour(peer, repeated(Buffer.concat([UNCHOKE, message(0)]), KIB_64), 20 * times);
  await peer.closed;
};

export const rejectsWhatItClaims: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent, FAST_AND_EXTENDED);
  await answering(peer, ({ piece, begin, length }) => message(16, piece, begin, length));
};

/** What BitComet says for a reject. */
export const sendsEmptyBlocks: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent);
  await answering(peer, ({ piece, begin }) => block(piece, begin, Buffer.alloc(0)));
};

export const exchangesManyPeersAtOnce: HostileScript = unforgivable(
  () => pexOf(closedAddresses(10_000)),
  FAST_AND_EXTENDED,
);

export const exchangesPeersAllTheTime: HostileScript = async (peer, torrent) => {
  await claimAll(peer, torrent, FAST_AND_EXTENDED);
  peer.send(extended(0, 'd1:md6:ut_pexi1eee'));
  for (let i = 0; i < 200; i++) await pour(peer, pexOf(closedAddresses(50, i * 50)), 1);
  await caughtUp(peer);
};

export const announcesAGibibyte: HostileScript = unforgivable(() => Buffer.from([0x40, 0, 0, 0, 7]));

/** Where a length is checked too late, what follows makes it costly: a bitfield that never ends. */
export const announcesABitfieldOfAMebibyte: HostileScript = unforgivable(() => Buffer.from([0, 0x10, 0, 0, 5]));

export const sendsAShortBitfield: HostileScript = unforgivable(({ pieceCount }) =>
  bitfield(Buffer.alloc(Math.ceil(pieceCount / 8) - 1)),
);

export const sendsSpareBits: HostileScript = unforgivable(({ pieceCount }) =>
  bitfield(Buffer.alloc(Math.ceil(pieceCount / 8), 0xff)),
);

export const namesAPieceBeyondTheLast: HostileScript = unforgivable(({ pieceCount }) => have(pieceCount));

export const talksBeforeTheHandshake: HostileScript = async (peer, torrent) => {
  peer.send(bitfield(fullBitfield(torrent.pieceCount)), UNCHOKE, handshakeOf(torrent.infohash, HOSTILE_ID));
  await peer.closed;
};

export const usesIdsNeverNegotiated: HostileScript = async (peer, torrent, times = 1) => {
  await claimAll(peer, torrent, FAST_AND_EXTENDED);
  const ids = Array.from({ length: 235 }, (_, i) => 21 + i);
  const words = ids.flatMap((id) => [message(id, Buffer.alloc(100, id)), extended(id, 'not bencode')]);
  await pour(peer, Buffer.concat(words), 20 * times);
  await caughtUp(peer);
};

/** Extension messages without the reserved bit. */
export const usesExtensionsNeverNegotiated: HostileScript = async (peer, torrent, times = 1) => {
  await peer.bytes(68);
  peer.send(handshakeOf(torrent.infohash, HOSTILE_ID));
  await pour(peer, extended(0, 'l'.repeat(1000)), 100 * times);
  peer.send(bitfield(fullBitfield(torrent.pieceCount)));
  await peer.nextOf(2);
};

/** BEP 6: whoever does that must be hung up on. */
export const claimsAllInAWordNeverNegotiated: HostileScript = unforgivable(() => message(14));

const bomb = (body: string): HostileScript => unforgivable(() => extended(0, body), FAST_AND_EXTENDED);

export const nestsDeeply: HostileScript = bomb(`d1:m${'l'.repeat(30_000)}${'e'.repeat(30_000)}e`);
export const nestsDictionaries: HostileScript = bomb(`${'d1:a'.repeat(4_000)}de${'e'.repeat(4_000)}`);
export const sendsManyTokens: HostileScript = bomb(`d1:ml${'le'.repeat(32_000)}ee`);
export const sendsManyTokensInBounds: HostileScript = bomb(`d1:ml${'le'.repeat(8_000)}ee`);
export const announcesALongString: HostileScript = bomb('d1:v2147483647:xe');
export const namesThePrototype: HostileScript = bomb('d9:__proto__d1:mdeee');
export const endsInTheMiddle: HostileScript = bomb('d1:md6:ut_pex');

/** Tells something else each time, and switches peer exchange on and off. */
export const shakesHandsAllTheTime: HostileScript = async (peer, torrent, times = 1) => {
  await claimAll(peer, torrent, FAST_AND_EXTENDED);
  const words = [extended(0, 'd1:md6:ut_pexi9ee1:pi1e4:reqqi1ee'), extended(0, 'd1:md6:ut_pexi0ee4:reqqi999999ee')];
  await pour(peer, repeated(Buffer.concat(words), KIB_64), 5 * times);
  await caughtUp(peer);
};

export const floodsAllowedFastAndRejects: HostileScript = async (peer, torrent, times = 1) => {
  await claimAll(peer, torrent, FAST_AND_EXTENDED);
  const each = Array.from({ length: torrent.pieceCount }, (_, piece) =>
    Buffer.concat([message(17, piece), message(16, piece, 0, BLOCK), message(13, piece)]),
  );
  await pour(peer, repeated(Buffer.concat(each), KIB_64), 30 * times);
  await caughtUp(peer);
};

/** @returns when the client has had enough */
export const shakesHandsSlowly: HostileScript = (peer, torrent) =>
  trickle(peer, Buffer.concat([handshakeOf(torrent.infohash, HOSTILE_ID), Buffer.alloc(100_000)]), 20);

/** Runs a script for each connection; `deed` is that of the first. */
export async function hostilePeer(
  torrent: SmallTorrent,
  script: HostileScript,
): Promise<{ readonly port: number; readonly deed: Promise<void>; close(): Promise<void> }> {
  let settle: (deed: Promise<void>) => void = () => {};
  const deed = new Promise<void>((resolve) => {
    settle = resolve;
  });
  deed.catch(() => {});
  const peer = await ScriptedPeer.listen((connection) => {
    const running = script(connection, torrent);
    settle(running);
    return running;
  });
  return { port: peer.port, deed, close: () => peer.close() };
}

/** An honest seed that unchokes only then: until that time the hostile ones have the client for themselves. */
export function patientSeed(torrent: SmallTorrent, then: Promise<unknown>): Promise<ScriptedPeer> {
  return ScriptedPeer.listen(async (peer) => {
    await peer.bytes(68);
    peer.send(handshakeOf(torrent.infohash, '-XX0001-honest-peer-'), bitfield(fullBitfield(torrent.pieceCount)));
    await peer.nextOf(2);
    await then.catch(() => {});
    peer.send(UNCHOKE);
    for (;;) peer.send(truthOf(torrent, askedOf((await peer.nextOf(6)).body)));
  });
}

/** What an honest seed says. */
export async function serveHonestly(peer: RawPeer, torrent: SmallTorrent, peerId: string): Promise<void> {
  await peer.bytes(68);
  peer.send(handshakeOf(torrent.infohash, peerId), bitfield(fullBitfield(torrent.pieceCount)));
  await peer.nextOf(2);
  peer.send(UNCHOKE);
  for (;;) peer.send(truthOf(torrent, askedOf((await peer.nextOf(6)).body)));
}

/** Claims everything, unchokes and never answers. `asked` is when it has been asked for something. */
export async function silentClaimer(
  torrent: SmallTorrent,
  number: number,
  host: string,
): Promise<{ readonly host: string; readonly port: number; readonly asked: Promise<void>; close(): Promise<void> }> {
  let settle = (): void => {};
  const asked = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const id = `-XX0001-claims-all${String(number).padStart(2, '0')}`;
  const peer = await ScriptedPeer.listen(async (connection) => {
    await connection.bytes(68);
    connection.send(handshakeOf(torrent.infohash, id), bitfield(fullBitfield(torrent.pieceCount)), UNCHOKE);
    await connection.nextOf(6);
    settle();
    for (;;) await connection.next();
  }, host);
  return { host, port: peer.port, asked, close: () => peer.close() };
}

/**
 * One of several, each at an address of its own: has the pieces that `has` names, and `poisons` says which of its answers are bad.
 * @param staysFor blocks after which it hangs up
 */
export async function oneOfMany(
  torrent: SmallTorrent,
  peerId: string,
  has: Buffer,
  poisons: (asked: Asked) => boolean,
  host: string,
  staysFor = Number.POSITIVE_INFINITY,
): Promise<{
  readonly host: string;
  readonly port: number;
  announce(pieces: readonly number[]): void;
  close(): Promise<void>;
}> {
  const connected: RawPeer[] = [];
  const announced: Buffer[] = [];
  const peer = await ScriptedPeer.listen(async (connection) => {
    await connection.bytes(68);
    connection.send(handshakeOf(torrent.infohash, peerId), bitfield(has), UNCHOKE, ...announced);
    connected.push(connection);
    for (let given = 0; given < staysFor; given++) {
      const asked = askedOf((await connection.nextOf(6)).body);
      connection.send(poisons(asked) ? poisonOf(asked) : truthOf(torrent, asked));
    }
    connection.socket.end();
  }, host);
  return {
    host,
    port: peer.port,
    announce: (pieces) => {
      announced.push(...pieces.map(have));
      for (const connection of connected) connection.send(...pieces.map(have));
    },
    close: () => peer.close(),
  };
}

/** The same torrent, marked private (BEP 27). @param infohashOf SHA-1 */
export function privateOf(torrent: SmallTorrent, infohashOf: (info: Buffer) => Buffer): SmallTorrent {
  const start = torrent.bytes.indexOf('4:info') + 6;
  const info = Buffer.concat([torrent.bytes.subarray(start, -2), Buffer.from('7:privatei1ee')]);
  const bytes = Buffer.concat([torrent.bytes.subarray(0, start), info, Buffer.from('e')]);
  return { ...torrent, bytes, infohash: infohashOf(info) };
}
