/**
 * The canonical priority (BEP 40) of a torrent's peers, remembered per address as long as our own address stays what it is.
 * Pure. Where our address is not known nobody has a priority, and the rule is skipped.
 */
import { type Family, familyOf, type PeerAddress } from '../protocol/address.js';
import { peerPriority } from '../protocol/peer-priority.js';
import type { ExternalAddress } from './external-address.js';

export class PeerRanking {
  readonly #external: ExternalAddress;
  readonly #port: number;
  /** Ours, when the priorities were computed. */
  readonly #own: Record<Family, string | undefined> = { 4: undefined, 6: undefined };
  /** By identity: a list keeps its addresses. */
  #known = new WeakMap<PeerAddress, number>();

  /** @param port the one we announce */
  constructor(external: ExternalAddress, port: number) {
    this.#external = external;
    this.#port = port;
  }

  /** Higher is better; `undefined` when our own address of that family is unknown. */
  of(address: PeerAddress): number | undefined {
    const family = familyOf(address.host);
    const host = this.#external.of(family);
    if (host !== this.#own[family]) {
      this.#own[family] = host;
      this.#known = new WeakMap();
    }
    if (host === undefined) return undefined;
    let priority = this.#known.get(address);
    if (priority === undefined) {
      priority = peerPriority({ host, port: this.#port }, address);
      if (priority !== undefined) this.#known.set(address, priority);
    }
    return priority;
  }
}
