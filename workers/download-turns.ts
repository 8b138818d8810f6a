/**
 * Who may not ask for more yet, because a rate limit leaves nothing: they wait in line, and every few ms those whose turn it is
 * ask for what has come in since. Who was served and wants more goes to the end. Between turns nobody is asked for single
 * blocks as they become free, and a limit's bucket does not run over while a thread waits for its next tick.
 */
import type { Connection } from './connection.js';

/** Long enough for many requests in one write, short beside what a bucket holds. */
const TURN_MS = 20;

export class DownloadTurns {
  readonly #now: () => number;
  readonly #waiting = new Set<Connection>();
  #timer: NodeJS.Timeout | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  has(connection: Connection): boolean {
    return this.#waiting.has(connection);
  }

  wait(connection: Connection): void {
    this.#waiting.add(connection);
    this.#soon();
  }

  leave(connection: Connection): void {
    this.#waiting.delete(connection);
  }

  stop(): void {
    this.#waiting.clear();
    clearTimeout(this.#timer);
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => this.#serve(), TURN_MS);
  }

  #serve(): void {
    this.#timer = undefined;
    const now = this.#now();
    for (const connection of [...this.#waiting]) {
      if (connection.torrent?.down.hasBlock(now) === false) continue;
      // It may have been closed by what another one asked for.
      if (this.#waiting.delete(connection)) connection.torrent?.fill(connection, now);
    }
    if (this.#waiting.size > 0) this.#soon();
  }
}
