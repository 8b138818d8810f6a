/** Peers named on the command line, by address or by name: names are looked up before the engine sees them. */
import { unlessAborted } from '../discovery/clock.js';
import { addressesOf } from '../discovery/lookup.js';
import { Names } from '../discovery/names.js';
import { messageOf } from '../errors.js';
import { formatAddress, type HostPort, type PeerAddress } from '../protocol/address.js';
import type { Output } from './output.js';

/** The IP literals of a host, which may be one itself. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

/**
 * Every address of every peer.
 * @param onFailure told of each name that has none; the others are still worth a try
 */
export async function resolvePeers(
  peers: readonly HostPort[],
  resolve: ResolveHost,
  onFailure: (message: string) => void,
): Promise<PeerAddress[]> {
  const found = await Promise.all(
    peers.map(async (peer) => {
      try {
        const hosts = await resolve(peer.host);
        if (hosts.length === 0) onFailure(`peer ${formatAddress(peer)}: the name has no address`);
        return hosts.map((host) => ({ host, port: peer.port }));
      } catch (error) {
        onFailure(`peer ${formatAddress(peer)}: ${messageOf(error)}`);
        return [];
      }
    }),
  );
  return found.flat();
}

/** Every address of the peers of `--peer`; a name that has none is a warning. @throws the signal's reason */
export async function peersOf(
  peers: readonly HostPort[] = [],
  output: Output,
  signal: AbortSignal,
): Promise<PeerAddress[]> {
  const names = new Names();
  const resolving = resolvePeers(
    peers,
    (host) => addressesOf(host, names.lookup),
    (message) => {
      if (!signal.aborted) output.warning(message);
    },
  );
  return await unlessAborted(resolving, signal).finally(() => names.close());
}
