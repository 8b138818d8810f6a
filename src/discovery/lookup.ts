/** Name look-ups as an argument: those of a session are in `names.ts`. IP literals are answered without a look-up. */
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { messageOf } from '../errors.js';
import { canonicalIp, type Family, familyOf } from '../protocol/address.js';
import { TrackerError } from '../protocol/announce.js';

/** The IP literals of a host name, best first; rejects when there are none. */
export type Lookup = (name: string) => Promise<readonly string[]>;

/** `getaddrinfo`: two at a time in the whole process, and it ends when it likes. */
export const systemLookup: Lookup = async (name) => {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
};

/**
 * The canonical addresses of a host.
 * @param host a name or an IP literal, the IPv6 one with or without brackets
 */
export async function addressesOf(host: string, lookup: Lookup): Promise<string[]> {
  const literal = canonicalIp(host.startsWith('[') ? host.slice(1, -1) : host);
  if (literal !== undefined) return [literal];
  const found = await lookup(host);
  return found.map(canonicalIp).filter((address) => address !== undefined);
}

/** As `node:net` may ask for them; anything else asks for both. */
const FAMILIES = new Map<unknown, Family>([
  [4, 4],
  [6, 6],
  ['IPv4', 4],
  ['IPv6', 6],
]);

/**
 * The same look-up as `node:net` wants it; `net` asks for literals itself.
 * @param only the family to give addresses of; without it, what `net` asks for
 */
export function netLookup(lookup: Lookup, only?: Family): LookupFunction {
  return (name, options, callback) => {
    const wanted = only ?? FAMILIES.get(options.family);
    addressesOf(name, lookup).then(
      (hosts) => {
        const found = hosts.map((address) => ({ address, family: isIP(address) }));
        const usable = wanted === undefined ? found : found.filter(({ family }) => family === wanted);
        const [first] = usable;
        if (first === undefined) callback(noAddress(name, found.length === 0 ? undefined : wanted), '', 0);
        else if (options.all === true) callback(null, usable);
        else callback(null, first.address, first.family);
      },
      (error: unknown) => callback(error instanceof Error ? error : new Error(messageOf(error)), '', 0),
    );
  };
}

/**
 * The family a tracker is asked over.
 * @param wanted any when absent
 * @param bind canonical local address, which leaves one family; any when absent
 * @throws TrackerError when nothing is left
 */
export function usableFamily(wanted: Family | undefined, bind: string | undefined): Family | undefined {
  if (bind === undefined) return wanted;
  const family = familyOf(bind);
  if (wanted === undefined || wanted === family) return family;
  const message = `expected a tracker to be asked over IPv${family} from ${bind}, got IPv${wanted}`;
  throw new TrackerError(message, { cause: Object.assign(new Error(message), { code: 'EADDRNOTAVAIL' }) });
}

/** The error of a host that has no address, or none of a family. */
export function noAddress(host: string, family?: Family): Error {
  const kind = family === undefined ? 'usable' : `IPv${family}`;
  return Object.assign(new Error(`${host} has no ${kind} address`), { code: 'ENODATA' });
}

/** What `connect`, `bind` and `send` fail with where there is no way to an address, rather than nobody at it. */
const NO_WAY: readonly unknown[] = ['ENODATA', 'ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT'];

/** Whether a host could not even be asked over a family: one of the two ends has no address in it, or no route. */
function isOutOfReach(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return NO_WAY.includes((error as NodeJS.ErrnoException).code) || isOutOfReach(error.cause);
}

/** One line for a host that failed over every family: those it could not be asked over are left out, unless all are such. */
export function reasonOf(errors: readonly unknown[]): string {
  const telling = errors.filter((error) => !isOutOfReach(error));
  return [...new Set((telling.length > 0 ? telling : errors).map(messageOf))].join('; ');
}
