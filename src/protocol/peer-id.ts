/** Peer ids, Azureus style (BEP 20): `-SP0100-` and 12 random characters. Pure: randomness is passed in. */

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/**
 * A fresh peer id of 20 bytes.
 * @param version semantic version of the client; its first three numbers and a 0 become the four digits, `0.1.0` -> `0100`
 * @param random uniform in [0, 1)
 */
export function createPeerId(version: string, random: () => number): Uint8Array {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map((part) => Number.parseInt(part, 10) || 0);
  const digits = [major, minor, patch, 0].map((number) => ALPHABET[Math.min(number, 35)]).join('');
  const tail = Array.from({ length: 12 }, () => ALPHABET[Math.floor(random() * ALPHABET.length)]).join('');
  return new TextEncoder().encode(`-SP${digits}-${tail}`);
}

/** A peer id for people: the client's two letters and version when it is Azureus style, printable bytes otherwise. */
export function describePeerId(peerId: Uint8Array): string {
  const text = String.fromCharCode(...peerId);
  const azureus = /^-([A-Za-z~]{2})([0-9A-Za-z]{4})-/.exec(text);
  if (azureus) return `${azureus[1]} ${[...azureus[2]!].join('.')}`;
  return text.slice(0, 8).replace(/[^\x21-\x7e]/g, '.');
}
