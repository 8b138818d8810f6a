/** The connections of all torrents of a session, counted as they come and go: nobody asks thousands of torrents for theirs. Pure. */

export class Census {
  readonly #most: number;
  #connected = 0;
  #dialling = 0;

  /** @param most connections, established or dialled, that there may be */
  constructor(most: number) {
    this.#most = most;
  }

  /** Dials under way. */
  get dialling(): number {
    return this.#dialling;
  }

  /** Connections, established or dialled, beyond those there may be; below 0 there is room. */
  get excess(): number {
    return this.#connected + this.#dialling - this.#most;
  }

  /** Whether more than half of those there may be are there. */
  get isCrowded(): boolean {
    return this.excess > -this.#most / 2;
  }

  /** What each of so many torrents may have, 1 at least. */
  shareOf(torrents: number): number {
    return Math.max(1, Math.floor(this.#most / Math.max(1, torrents)));
  }

  /** How many more there are than before, below 0 for fewer. */
  onChange(connected: number, dialling: number): void {
    this.#connected += connected;
    this.#dialling += dialling;
  }
}
