/**
 * What is remembered of hosts beyond their connections: who is banned, and whose connections those were that have gone, since
 * pieces they gave blocks of may fail later. Pure, and bounded: the first of each is forgotten first.
 */

/** Then the first one banned is forgiven for the next. */
const MAX_BANNED = 10_000;
const MAX_DEPARTED = 4_000;

export class Hosts {
  readonly #banned = new Set<string>();
  /** By connection. */
  readonly #departed = new Map<string, { readonly group: number; readonly host: string }>();

  ban(host: string): void {
    this.#banned.add(host);
    for (const first of this.#banned) {
      if (this.#banned.size <= MAX_BANNED) break;
      this.#banned.delete(first);
    }
  }

  isBanned(host: string): boolean {
    return this.#banned.has(host);
  }

  /** A connection has gone. */
  onDeparted(group: number, peer: number, host: string): void {
    this.#departed.set(`${group}/${peer}`, { group, host });
    for (const first of this.#departed.keys()) {
      if (this.#departed.size <= MAX_DEPARTED) break;
      this.#departed.delete(first);
    }
  }

  /** The host of a connection that has gone. */
  ofDeparted(group: number, peer: number): string | undefined {
    return this.#departed.get(`${group}/${peer}`)?.host;
  }

  /** A group is dead: its successor counts its connections anew, and its leases are gone. */
  onGroupDeath(group: number): void {
    for (const [key, departed] of this.#departed) if (departed.group === group) this.#departed.delete(key);
  }
}
