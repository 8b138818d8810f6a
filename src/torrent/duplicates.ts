/** Which of two connections that claim one peer id goes. A peer id proves nothing, since anybody can claim it. Pure. */
import { familyOf } from '../protocol/address.js';
import type { PeerConnection } from './peer-list.js';

/**
 * One that has been silent for long goes: it may be dead, or not be who it claims. Of dials that crossed, the one whose dialler
 * has the lower peer id, so that both ends choose the same, as libtorrent does. Otherwise the newer one: who only claims an id
 * cannot oust its owner.
 * @param silentMs without payload for so long a connection is silent; dials that cross are less apart
 */
export function worseOf(
  older: PeerConnection,
  newer: PeerConnection,
  ownId: Uint8Array,
  silentMs: number,
  now: number,
): PeerConnection {
  if (now - older.workedAt >= silentMs) return older;
  if (now - older.since >= silentMs || !canHaveCrossed(older, newer)) return newer;
  const oursIsHigher = Buffer.compare(ownId, newer.peerId) > 0;
  return newer.incoming === oursIsHigher ? newer : older;
}

/** Whether two connections can come of both ends dialling at the same time, over one address family or over both. */
function canHaveCrossed(older: PeerConnection, newer: PeerConnection): boolean {
  if (older.incoming === newer.incoming) return false;
  const [old, other] = [older.address.host, newer.address.host];
  return old === other || (familyOf(old) !== familyOf(other) && older.workedAt === older.since);
}
