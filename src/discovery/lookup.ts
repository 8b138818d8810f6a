/** Name look-ups as an argument: the default asks the operating system. IP literals are answered without a look-up. */
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { messageOf } from '../errors.js';
import { canonicalIp } from '../protocol/address.js';

/** The IP literals of a host name, best first; rejects when there are none. */
export type Lookup = (name: string) => Promise<readonly string[]>;

export const systemLookup: Lookup = async (name) => {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
};

/** The same look-up, but those who ask for one name at the same time share one: look-ups block the thread pool of file reads. */
export function sharedLookup(lookup: Lookup): Lookup {
  const underWay = new Map<string, Promise<readonly string[]>>();
  return (name) => {
    const shared = underWay.get(name) ?? lookup(name).finally(() => underWay.delete(name));
    underWay.set(name, shared);
    return shared;
  };
}

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

/** The same look-up as `node:net` wants it; `net` asks for literals itself. */
export function netLookup(lookup: Lookup): LookupFunction {
  return (name, options, callback) => {
    const wanted = Number(String(options.family ?? 0).replace('IPv', ''));
    addressesOf(name, lookup).then(
      (hosts) => {
        const found = hosts.map((address) => ({ address, family: isIP(address) }));
        const usable = wanted === 0 ? found : found.filter(({ family }) => family === wanted);
        const [first] = usable;
        if (first === undefined) callback(new Error(`${name} has no usable address`), '', 0);
        else if (options.all === true) callback(null, usable);
        else callback(null, first.address, first.family);
      },
      (error: unknown) => callback(error instanceof Error ? error : new Error(messageOf(error)), '', 0),
    );
  };
}
