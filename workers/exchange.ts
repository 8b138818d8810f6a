/** Peer exchange in one group (BEP 11): tells each peer of a torrent of the others that are connected here. */
import type { Connection } from './connection.js';

export function exchangePeers(connections: Iterable<Connection>, now: number): void {
  const known = [...connections].flatMap((connection) => {
    const { session, host, incoming } = connection;
    const port = incoming ? session?.extensions?.theirs?.port : connection.port;
    return session === undefined || port === undefined ? [] : [{ session, address: { host, port } }];
  });
  for (const { session } of known) {
    const others = known.filter((peer) => peer.session !== session).map(({ address }) => address);
    session.extensions?.exchange(others, now);
  }
}
