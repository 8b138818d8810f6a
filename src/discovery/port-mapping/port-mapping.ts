/**
 * Keeps one listening port reachable through a NAT: asks the ways to do so in turn until one works, renews what was granted,
 * tries again when nothing worked, and takes everything back at the end. Runs beside the downloads and never fails one: what
 * goes wrong is a line of detail.
 */
import { messageOf } from '../../errors.js';
import type { Options } from '../../options.js';
import { familyOf, isLoopback, type PeerAddress } from '../../protocol/address.js';
import { printable } from '../../protocol/announce.js';
import { PORT_MAP_PORT } from '../../protocol/port-map.js';
import { SSDP } from '../../protocol/upnp.js';
import { type Clock, systemClock, within } from '../clock.js';
import { defaultGateway, isPrivate } from './gateway.js';
import type { Mapping, PortMapper } from './mapper.js';
import { PcpMapper } from './pcp.js';
import { UpnpMapper } from './upnp.js';

export interface PortMappingDeps {
  /** In the order in which they are tried. */
  readonly mappers: readonly PortMapper[];
  readonly clock: Clock;
  readonly onDetail: (line: string) => void;
}

/** No mapping is renewed sooner, whatever lifetime a gateway names. */
const MIN_RENEW_MS = 60_000;

export class PortMapping {
  readonly #options: Pick<Options, 'natLifetimeMs' | 'natRetryMs' | 'natCloseMs'>;
  readonly #deps: PortMappingDeps;
  readonly #halt = new AbortController();
  #granted: { readonly mapper: PortMapper; readonly mapping: Mapping; readonly expiresAt: number } | undefined;
  #running: Promise<void> = Promise.resolve();
  #said = '';

  constructor(options: Pick<Options, 'natLifetimeMs' | 'natRetryMs' | 'natCloseMs'>, deps: PortMappingDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Where the port is reached from outside; `undefined` when it is not mapped. */
  get externalPort(): number | undefined {
    return this.#granted?.mapping.externalPort;
  }

  /** Begins to map a TCP port that is listened on. */
  start(port: number): void {
    // Ends with the signal and in no other way.
    this.#running = this.#run(port, this.#halt.signal).catch(() => {});
  }

  /** Takes the mapping back, within `natCloseMs`. Safe to call again. */
  async close(): Promise<void> {
    if (this.#halt.signal.aborted) return await this.#running;
    this.#halt.abort(new Error('the session is closing'));
    const before = this.#running;
    const { clock, mappers } = this.#deps;
    const late = (): Error => new Error('the gateway did not answer in time');
    this.#running = within(clock, this.#options.natCloseMs, late, new AbortController().signal, async (signal) => {
      await before;
      await Promise.allSettled(mappers.map((mapper) => mapper.unmap(signal)));
    });
    await this.#running;
    this.#granted = undefined;
  }

  async #run(port: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    for (;;) {
      const isMapped = await this.#map(port, signal);
      await clock.sleep(isMapped ? this.#renewMs() : this.#options.natRetryMs, signal);
    }
  }

  /** @returns whether the port is mapped anew */
  async #map(port: number, signal: AbortSignal): Promise<boolean> {
    const { mappers, clock } = this.#deps;
    const current = this.#granted;
    const failures: string[] = [];
    // What worked goes first: two mappings of one port are one too many.
    const inOrder = [...mappers].sort((a, b) => Number(b === current?.mapper) - Number(a === current?.mapper));
    for (const mapper of inOrder) {
      try {
        const mapping = await mapper.map(port, current?.mapping.externalPort ?? port, signal);
        this.#granted = { mapper, mapping, expiresAt: clock.now() + mapping.lifetimeMs };
        this.#say(`port ${port} is reached at port ${mapping.externalPort} of the gateway (${mapper.name})`);
        return true;
      } catch (error) {
        signal.throwIfAborted();
        failures.push(`${mapper.name}: ${printable(messageOf(error))}`);
      }
    }
    if (current !== undefined && current.expiresAt <= clock.now()) this.#granted = undefined;
    this.#say(`port ${port} is not mapped: ${failures.join('; ')}`);
    return false;
  }

  /** RFC 6886 §3.3: half way through its life, so that there is time to try again. */
  #renewMs(): number {
    const lifetimeMs = Math.min(this.#granted!.mapping.lifetimeMs, this.#options.natLifetimeMs);
    return Math.max(MIN_RENEW_MS, lifetimeMs / 2);
  }

  /** Once, as long as nothing changes. */
  #say(line: string): void {
    if (line === this.#said) return;
    this.#said = line;
    this.#deps.onDetail(line);
  }
}

export interface GatewaySettings {
  readonly options: Options;
  /** Canonical address that is listened on; every one when absent. */
  readonly bind: string | undefined;
  /** Uniform in [0, 1), unpredictable. */
  readonly random: () => number;
  readonly onDetail: (line: string) => void;
}

/**
 * A mapping through the gateway of this machine; sends nothing before it is started.
 * @returns `undefined` where there is nothing to map: what listens on loopback is not for others, and IPv6 has no NAT
 */
export function gatewayMapping({ options, bind, random, onDetail }: GatewaySettings): PortMapping | undefined {
  if (bind !== undefined && (familyOf(bind) === 6 || isLoopback(bind))) return undefined;
  const deps = { clock: systemClock, random, bind };
  const gateway = async (): Promise<PeerAddress | undefined> => {
    const host = await defaultGateway(bind);
    return host !== undefined && isPrivate(host) ? { host, port: PORT_MAP_PORT } : undefined;
  };
  const mappers = [
    new PcpMapper(options, { ...deps, gateway }),
    new UpnpMapper(options, { ...deps, target: SSDP, isGateway: isPrivate }),
  ];
  return new PortMapping(options, { mappers, clock: systemClock, onDetail });
}
