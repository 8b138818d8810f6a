/**
 * The addresses that the world sees us at, one per family, as far as peers tell (BEP 10, `yourip`). Anybody can claim
 * anything: each IP address has one vote, few votes are kept, and what most of them say is believed. Pure.
 *
 * It is good for the canonical peer priority and the like, where a wrong answer costs nothing but order.
 */
import { canonicalIp, type Family, familyOf, ipBytes } from '../protocol/address.js';

/** Votes kept per family; the oldest goes first. */
const MOST = 32;
/** A single peer is not believed. */
const FEWEST = 2;

export class ExternalAddress {
  /** What each voter says, by its own IP address. */
  readonly #votes: Record<Family, Map<string, string>> = { 4: new Map(), 6: new Map() };
  /** What most of them say; kept, since it is asked for far more often than it changes. */
  readonly #believed: Record<Family, string | undefined> = { 4: undefined, 6: undefined };
  readonly #bound: string | undefined;

  /** @param bound the local address that is listened on, canonical: believed until the peers know better */
  constructor(bound?: string) {
    this.#bound = bound;
  }

  /** @param voter the peer's IP address, canonical @param claim what it says ours is */
  onClaim(voter: string, claim: string): void {
    const host = canonicalIp(claim);
    // Who reaches us by one family knows nothing of the other.
    if (host === undefined || familyOf(host) !== familyOf(voter) || !isUnicast(host)) return;
    const family = familyOf(host);
    const votes = this.#votes[family];
    votes.delete(voter);
    votes.set(voter, host);
    if (votes.size > MOST) votes.delete(votes.keys().next().value!);
    this.#believed[family] = majority([...votes.values()]);
  }

  /** What more than half of the voters say; the address that is listened on while they do not; `undefined` when unknown. */
  of(family: Family): string | undefined {
    const isBound = this.#bound !== undefined && familyOf(this.#bound) === family;
    return this.#believed[family] ?? (isBound ? this.#bound : undefined);
  }
}

function majority(votes: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const host of votes) counts.set(host, (counts.get(host) ?? 0) + 1);
  for (const [host, count] of counts) if (count >= FEWEST && count > votes.length / 2) return host;
  return undefined;
}

/** Whether one machine can have the address; one of this machine alone is nobody else's view of it. */
function isUnicast(host: string): boolean {
  const bytes = ipBytes(host);
  const first = bytes[0]!;
  if (bytes.length === 4) return first !== 0 && first !== 127 && first < 224;
  return first !== 0xff && bytes.subarray(0, 15).some((byte) => byte !== 0);
}
