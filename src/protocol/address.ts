/**
 * Peer addresses, family-neutral. `host` is an IP literal in one canonical form (IPv4 dotted, IPv6 lower-case RFC 5952),
 * so that two addresses are the same peer exactly when their keys are equal. Host names are resolved before they get here.
 */

export interface PeerAddress {
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}
