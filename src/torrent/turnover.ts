/**
 * Who makes room when a torrent or the session is full: peers that the groups found to be of no use, and for a newcomer of
 * higher canonical priority (BEP 40) those that are merely quiet. Pure; times are passed in.
 *
 * - Never a peer in use, and only a few peers a minute: a full torrent stays a swarm, not a queue.
 * - Nobody is chosen twice; the group has the last word, since it knows what happened since.
 */

/** A connection that might go. */
export interface TurnoverPeer {
  readonly group: number;
  readonly peer: number;
  readonly incoming: boolean;
}

interface Found {
  readonly useless: ReadonlySet<number>;
  readonly quiet: ReadonlySet<number>;
}

const MINUTE_MS = 60_000;
/** A torrent that starves tries so many times more peers a minute: all of a full one well before it would be given up. */
const STARVING_TIMES = 10;
/** Of a peer whose priority is not known: neither good nor bad. */
const MIDDLE = 2 ** 31;

export class Turnover<C extends TurnoverPeer> {
  readonly #perMinute: number;
  /** What each group said last. */
  readonly #found = new Map<number, Found>();
  /** Chosen, and there still. */
  readonly #leaving = new Map<string, C>();
  /** Times of the latest choices. */
  #chosenAt: number[] = [];
  /** Nobody gives anything: whoever is merely quiet may go for others too, and more of them do. */
  isStarving = false;

  /** @param perMinute most peers that have to go in a minute */
  constructor(perMinute: number) {
    this.#perMinute = perMinute;
  }

  /** A group's view of its peers, all of them: who was chosen and is in use again stays. */
  onSurvey(group: number, useless: readonly number[], quiet: readonly number[]): void {
    const found = { useless: new Set(useless), quiet: new Set(quiet) };
    this.#found.set(group, found);
    for (const [key, { group: its, peer }] of this.#leaving) {
      if (its === group && !found.useless.has(peer) && !found.quiet.has(peer)) this.#leaving.delete(key);
    }
  }

  onGone(connection: C): void {
    this.#leaving.delete(keyOf(connection));
  }

  onGroupDeath(group: number): void {
    this.#found.delete(group);
    for (const [key, connection] of this.#leaving) if (connection.group === group) this.#leaving.delete(key);
  }

  /** Whether somebody could be chosen now, useless or merely quiet. */
  canChoose(now: number): boolean {
    if (this.#isTooSoon(now)) return false;
    for (const { useless, quiet } of this.#found.values()) if (useless.size + quiet.size > 0) return true;
    return false;
  }

  /** Connections that came in, or were dialled, that are on their way out. */
  leaving(incoming: boolean): number {
    let count = 0;
    for (const connection of this.#leaving.values()) if (connection.incoming === incoming) count++;
    return count;
  }

  /**
   * The connection that has to go: of the useless ones the one of lowest priority; of equals the first. With none, a quiet one
   * that the newcomer outranks.
   * @param connections those whose place would be of use
   * @param priorityOf `undefined` when it is not known
   * @param newcomer its priority, where there is a newcomer that has one
   */
  choose(
    connections: Iterable<C>,
    priorityOf: (connection: C) => number | undefined,
    newcomer: number | undefined,
    now: number,
  ): C | undefined {
    if (this.#isTooSoon(now)) return undefined;
    let chosen: { connection: C; useless: boolean; priority: number } | undefined;
    for (const connection of connections) {
      const found = this.#found.get(connection.group);
      const quiet = found?.quiet.has(connection.peer) === true;
      const useless = found?.useless.has(connection.peer) === true || (quiet && this.isStarving);
      if (!(useless || quiet) || this.#leaving.has(keyOf(connection))) continue;
      const known = priorityOf(connection);
      if (!useless && !(newcomer !== undefined && known !== undefined && known < newcomer)) continue;
      const priority = known ?? MIDDLE;
      const isWorse =
        chosen === undefined ||
        (useless && !chosen.useless) ||
        (useless === chosen.useless && priority < chosen.priority);
      if (isWorse) chosen = { connection, useless, priority };
    }
    if (chosen === undefined) return undefined;
    this.#leaving.set(keyOf(chosen.connection), chosen.connection);
    this.#chosenAt.push(now);
    return chosen.connection;
  }

  #isTooSoon(now: number): boolean {
    this.#chosenAt = this.#chosenAt.filter((at) => now - at < MINUTE_MS);
    return this.#chosenAt.length >= this.#perMinute * (this.isStarving ? STARVING_TIMES : 1);
  }
}

const keyOf = ({ group, peer }: TurnoverPeer): string => `${group}/${peer}`;
