/**
 * Names of trackers and peers to addresses, for one session. What strangers write into torrents and answers decides which names
 * these are, and `getaddrinfo` serves two at a time, in the whole process, and can be neither cancelled nor left behind: a name
 * server that is silent would keep every other tracker waiting, and the process from ending. So a name is looked for in the hosts
 * file; then in DNS, where silence costs nobody else anything; and only what DNS denies, or what is none of it, is asked of the
 * system, one name at a time, since it may know more (mDNS, search domains, directories).
 */
import { Resolver } from 'node:dns/promises';
import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { canonicalIp, type HostPort, type PeerAddress } from '../protocol/address.js';
import { type Clock, systemClock, unlessAborted, within } from './clock.js';
import { Gates } from './gate.js';
import { addressesOf, type Lookup, systemLookup } from './lookup.js';

export interface NamesDeps {
  readonly clock?: Clock;
  /** The system's own look-up. */
  readonly system?: Lookup;
  /** DNS servers as `IP:PORT`; the system's when absent. */
  readonly servers?: readonly string[];
  /** Reads the hosts file. */
  readonly readHosts?: () => Promise<string>;
}

/** Names in DNS at a time. Only silent ones are there for long. */
const SLOTS = 32;
/** DNS is asked again after this, and the next server if there is one; then after twice as long. */
const DNS_TRY_MS = 1_500;
const DNS_TRIES = 3;
const DNS_MS = 5_000;
/** Peers given by name are rare, and the others in the answer wait for them: no longer than this. */
const PEERS_MS = 2_000;
/** Hundreds of torrents ask one tracker within seconds; the next round is minutes away. */
const REMEMBERED_MS = 30_000;
const MAX_REMEMBERED = 1_000;

/** RFC 6761 §6.3: never asked of DNS. */
const LOCALHOST: readonly [string, readonly string[]] = ['localhost', ['127.0.0.1', '::1']];

/** DNS knows no such name, or there is no server to ask. */
const UNKNOWN: readonly unknown[] = ['ENOTFOUND', 'ECONNREFUSED'];
/** What a stub resolver says of a name that is none of DNS: one without a dot, or of mDNS. */
const DECLINED: readonly unknown[] = [...UNKNOWN, 'ESERVFAIL', 'EREFUSED', 'ENODATA'];

export class Names {
  readonly #clock: Clock;
  readonly #system: Lookup;
  readonly #servers: readonly string[] | undefined;
  readonly #readHosts: () => Promise<string>;
  readonly #dnsGate = new Gates(SLOTS);
  readonly #systemGate = new Gates(1);
  readonly #hosts: Recent<ReadonlyMap<string, readonly string[]>>;
  readonly #found: Recent<readonly string[]>;
  readonly #closing = new AbortController();

  constructor({ clock = systemClock, system = systemLookup, servers, readHosts = readHostsFile }: NamesDeps = {}) {
    this.#clock = clock;
    this.#system = system;
    this.#servers = servers;
    this.#readHosts = readHosts;
    this.#hosts = new Recent(clock);
    this.#found = new Recent(clock);
    setMaxListeners(0, this.#closing.signal);
  }

  /** The addresses of a tracker, or of a peer that the user names. What was found, or not, holds for half a minute. */
  readonly lookup: Lookup = (name) => this.#found.get(name.toLowerCase(), (key) => this.#find(key));

  /**
   * The addresses of peers that a tracker gives by name; those that are not found soon are left out. The system is never
   * asked, and trackers go first.
   * @param signal ends it, as `close` does not
   */
  async peers(named: readonly HostPort[], signal: AbortSignal): Promise<PeerAddress[]> {
    const found: PeerAddress[] = [];
    const late = (): Error => new Error('the names of peers take too long');
    await within(this.#clock, PEERS_MS, late, signal, async (bounds) => {
      setMaxListeners(0, bounds);
      const known: Lookup = async (name) => (await this.#listed(name)) ?? (await this.#dns(name, true, bounds));
      const find = async ({ host, port }: HostPort): Promise<void> => {
        for (const address of await addressesOf(host, known)) found.push({ host: address, port });
      };
      await Promise.allSettled(named.map(find));
    });
    return found;
  }

  /** Gives up what is under way; nothing is asked any more. */
  close(): void {
    this.#closing.abort(new Error('the names of this session are not looked up any more'));
  }

  async #find(name: string): Promise<readonly string[]> {
    const listed = await this.#listed(name);
    if (listed !== undefined) return listed;
    const closing = this.#closing.signal;
    const late = (): Error => new Error(`no name server has found ${name} within ${DNS_MS} ms`);
    try {
      return await within(this.#clock, DNS_MS, late, closing, (signal) => this.#dns(name, false, signal));
    } catch (error) {
      const isLocal = !name.includes('.') || name.endsWith('.local');
      if (!(isLocal ? DECLINED : UNKNOWN).includes((error as NodeJS.ErrnoException).code)) throw error;
    }
    return await this.#systemGate.pass('', false, closing, () => unlessAborted(this.#system(name), closing));
  }

  /** What the hosts file says, which is above DNS. */
  async #listed(name: string): Promise<readonly string[] | undefined> {
    const hosts = await this.#hosts.get('', async () => hostsIn(await this.#readHosts().catch(() => '')));
    return hosts.get(name);
  }

  async #dns(name: string, canWait: boolean, signal: AbortSignal): Promise<string[]> {
    return await this.#dnsGate.pass('', canWait, signal, async () => {
      signal.throwIfAborted();
      // One each: it is cancelled as a whole, and reads anew which servers there are.
      const resolver = new Resolver({ timeout: DNS_TRY_MS, tries: DNS_TRIES });
      if (this.#servers !== undefined) resolver.setServers(this.#servers);
      const onAbort = (): void => resolver.cancel();
      signal.addEventListener('abort', onAbort, { once: true });
      const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
      signal.removeEventListener('abort', onAbort);
      const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
      if (addresses.length > 0) return addresses;
      signal.throwIfAborted();
      throw answers.find((answer) => answer.status === 'rejected')?.reason;
    });
  }
}

/** What was found out a moment ago, or is being found out: all who ask share it, and so they do a failure. */
class Recent<T> {
  readonly #clock: Clock;
  readonly #known = new Map<string, { readonly answer: Promise<T>; until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(key: string, find: (key: string) => Promise<T>): Promise<T> {
    const known = this.#known.get(key);
    if (known !== undefined && this.#clock.now() < known.until) return known.answer;
    const fresh = { answer: find(key), until: Number.POSITIVE_INFINITY };
    const onFound = (): void => {
      fresh.until = this.#clock.now() + REMEMBERED_MS;
    };
    fresh.answer.then(onFound, onFound);
    this.#known.delete(key);
    this.#known.set(key, fresh);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_REMEMBERED) this.#known.delete(oldest!);
    return fresh.answer;
  }
}

/** The addresses of each name in a hosts file. */
export function hostsIn(text: string): ReadonlyMap<string, readonly string[]> {
  const hosts = new Map<string, readonly string[]>();
  for (const line of text.split('\n')) {
    const [ip = '', ...names] = line.split('#', 1)[0]!.trim().toLowerCase().split(/\s+/);
    const address = canonicalIp(ip);
    if (address === undefined) continue;
    for (const name of names) hosts.set(name, [...(hosts.get(name) ?? []), address]);
  }
  return hosts.has(LOCALHOST[0]) ? hosts : hosts.set(...LOCALHOST);
}

function readHostsFile(): Promise<string> {
  const windows = `${process.env.SystemRoot}\\System32\\drivers\\etc\\hosts`;
  return readFile(process.platform === 'win32' ? windows : '/etc/hosts', 'utf8');
}
