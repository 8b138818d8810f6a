/** What the two ways to ask a gateway for a port have in common. */

export interface Mapping {
  readonly externalPort: number;
  /** Until the gateway forgets it; infinite when it does not. */
  readonly lifetimeMs: number;
}

/** One way to ask. Keeps what it asked for, so that it can be taken back. */
export interface PortMapper {
  /** For messages. */
  readonly name: string;
  /**
   * Maps a TCP port, or renews that.
   * @param externalPort hoped for
   * @throws Error of one line when the gateway cannot be reached or refuses; the signal's reason when it is aborted
   */
  map(internalPort: number, externalPort: number, signal: AbortSignal): Promise<Mapping>;
  /** Takes back whatever was asked for, granted or not; nothing is sent when that is nothing. */
  unmap(signal: AbortSignal): Promise<void>;
}
