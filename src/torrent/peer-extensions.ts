/**
 * One peer's extension protocol (BEP 10): its handshake, peer exchange (BEP 11) and pieces it lost (BEP 54). Pure; times are
 * passed in. Nothing is sent that the peer did not name an id for: unknown ids close libtorrent, transmission and rqbit.
 */
import type { PeerAddress } from '../protocol/address.js';
import {
  EXTENDED_HANDSHAKE,
  type ExtendedHandshake,
  encodeHandshake,
  encodePex,
  OUR_IDS,
  type OurHandshake,
  type PexPeer,
  parseDontHave,
  parseHandshake,
  parsePex,
} from '../protocol/extension.js';
import { Pex } from './pex.js';

/** What an extended message can mean to the session. */
export interface ExtensionEvents {
  send(bytes: Uint8Array): void;
  onExtendedHandshake(handshake: ExtendedHandshake): void;
  onDiscovered(peers: readonly PeerAddress[]): void;
  onDontHave(index: number): void;
}

export class PeerExtensions {
  readonly #ours: OurHandshake;
  readonly #events: ExtensionEvents;
  readonly #pex = new Pex();
  #theirs: ExtendedHandshake | undefined;

  constructor(ours: OurHandshake, events: ExtensionEvents) {
    this.#ours = ours;
    this.#events = events;
  }

  /** What the peer said last; it may say more later, and may change its mind. */
  get theirs(): ExtendedHandshake | undefined {
    return this.#theirs;
  }

  /** Ours goes out before the bitfield, as everybody's does. */
  start(): void {
    this.#events.send(encodeHandshake(this.#ours));
  }

  /** BEP 21: what was wanted is here, though it is not all. */
  onUploadOnly(): void {
    this.#events.send(encodeHandshake({ ...this.#ours, uploadOnly: true }));
  }

  /** @throws WireError when the body is malformed */
  onExtended(id: number, body: Uint8Array, now: number): void {
    switch (id) {
      case EXTENDED_HANDSHAKE:
        this.#theirs = parseHandshake(body, this.#theirs);
        return this.#events.onExtendedHandshake(this.#theirs);
      case OUR_IDS.ut_pex:
        if (this.#ours.pex && this.#pex.accepts(now)) this.#events.onDiscovered(parsePex(body));
        return;
      case OUR_IDS.lt_donthave:
        return this.#events.onDontHave(parseDontHave(body));
      default:
      // An id we never named.
    }
  }

  /** Whether the peer wants to know whom else we are connected to, and it is time to tell. */
  wantsPeers(now: number): boolean {
    return this.#ours.pex && this.#theirs?.ids.ut_pex !== undefined && this.#pex.isDue(now);
  }

  /** Tells the peer whom else we are connected to, when it is time and it wants to know. */
  exchange(connected: readonly PexPeer[], now: number): void {
    const id = this.#theirs?.ids.ut_pex;
    if (!this.#ours.pex || id === undefined) return;
    const news = this.#pex.news(connected, now);
    if (news !== undefined) this.#events.send(encodePex(id, news.added, news.dropped));
  }
}
