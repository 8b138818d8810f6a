/** Peer exchange in one group (BEP 11): tells each peer of a torrent of the others, in whichever group they are connected. */
import { addressKey } from '../src/protocol/address.js';
import type { PexPeer } from '../src/protocol/extension.js';
import type { Connection } from './connection.js';

/** @param roster the torrent's peers, as main told them */
export function exchangePeers(connections: Iterable<Connection>, roster: readonly PexPeer[], now: number): void {
  for (const connection of connections) {
    const { session, host, incoming } = connection;
    const extensions = session?.extensions;
    if (extensions?.wantsPeers(now) !== true) continue;
    const port = incoming ? extensions.theirs?.port : connection.port;
    const itself = port === undefined ? undefined : addressKey({ host, port });
    extensions.exchange(
      roster.filter((peer) => addressKey(peer) !== itself),
      now,
    );
  }
}
