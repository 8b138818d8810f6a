// A torrent made without the code under test: bencode by hand, hashes by node:crypto.
import { createHash } from 'node:crypto';

export interface SmallTorrent {
  readonly name: string;
  readonly payload: Buffer;
  readonly pieceLength: number;
  readonly pieceCount: number;
  readonly hashes: Buffer;
  /** The `.torrent`. */
  readonly bytes: Buffer;
  readonly infohash: Buffer;
}

/** Bytes that differ from place to place and repeat nowhere near. */
export function payloadOf(length: number, seed = 1): Buffer {
  const payload = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    payload[i] = state >>> 24;
  }
  return payload;
}

/** A single-file torrent, without trackers unless given. */
export function smallTorrent(
  length: number,
  pieceLength: number,
  { name = 'payload.bin', announce = '', seed = 1 } = {},
): SmallTorrent {
  return torrentOf(payloadOf(length, seed), pieceLength, { name, announce });
}

/** A single-file torrent of a payload, without trackers unless given. */
export function torrentOf(
  payload: Buffer,
  pieceLength: number,
  { name = 'payload.bin', announce = '' } = {},
): SmallTorrent {
  const { length } = payload;
  const digests: Buffer[] = [];
  for (let at = 0; at < length; at += pieceLength) {
    digests.push(
      createHash('sha1')
        .update(payload.subarray(at, at + pieceLength))
        .digest(),
    );
  }
  const hashes = Buffer.concat(digests);
  const info = Buffer.concat([
    Buffer.from(
      `d6:lengthi${length}e4:name${name.length}:${name}12:piece lengthi${pieceLength}e6:pieces${hashes.length}:`,
    ),
    hashes,
    Buffer.from('e'),
  ]);
  const tracker = announce === '' ? '' : `8:announce${announce.length}:${announce}`;
  return {
    name,
    payload,
    pieceLength,
    pieceCount: digests.length,
    hashes,
    bytes: Buffer.concat([Buffer.from(`d${tracker}4:info`), info, Buffer.from('e')]),
    infohash: createHash('sha1').update(info).digest(),
  };
}
