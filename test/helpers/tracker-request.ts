// What tests announce to scripted trackers.
import type { AnnounceRequest } from '../../src/protocol/announce.js';

export const REQUEST: AnnounceRequest = {
  infohash: new Uint8Array(20).fill(0xab),
  peerId: Uint8Array.from(Buffer.from('-SP0100-abcdefghijkl')),
  port: 6881,
  uploaded: 0,
  downloaded: 0,
  left: 1,
  numwant: 50,
  key: 1,
};
