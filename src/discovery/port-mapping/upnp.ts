/**
 * Asks a UPnP gateway for a port: SSDP search, description, SOAP. Whoever answers is a stranger: it must have a private address,
 * is spoken to at that address alone, and what it says is capped in number, size and time. The texts are `protocol/upnp.ts`'s.
 */
import dgram from 'node:dgram';
import { request } from 'node:http';
import type { Options } from '../../options.js';
import type { PeerAddress } from '../../protocol/address.js';
import {
  addPortMapping,
  deletePortMapping,
  FAULT,
  faultOf,
  locationOf,
  type MappingService,
  mappingServices,
  PERMANENT,
  type SoapCall,
  searchRequests,
} from '../../protocol/upnp.js';
import { type Clock, within } from '../clock.js';
import type { Mapping, PortMapper } from './mapper.js';

export type UpnpOptions = Pick<Options, 'natLifetimeMs' | 'natSearchMs' | 'natRequestMs' | 'natBodyBytes'>;

export interface UpnpDeps {
  /** Where the search is sent: the SSDP group, but for tests. */
  readonly target: PeerAddress;
  /** Whether a gateway may have this address. */
  readonly isGateway: (host: string) => boolean;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Canonical IPv4 address to send from; any when absent. */
  readonly bind?: string | undefined;
}

/** Descriptions fetched in one search, and datagrams longer than which are no answer. */
const MAX_GATEWAYS = 4;
const MAX_DATAGRAM = 2048;
/** External ports tried when somebody else has the one hoped for. */
const PORT_TRIES = 4;
/** RFC 6335: ports that are assigned to nobody. */
const DYNAMIC_PORTS = { first: 49_152, count: 16_384 } as const;

interface Reply {
  readonly status: number;
  readonly body: string;
  /** Of this machine, that the gateway was spoken to from. */
  readonly client: string;
}

/** A gateway that answered, with the address of this machine that it can forward to. */
interface Found {
  readonly services: readonly MappingService[];
  readonly client: string;
}

/** A call that the gateway answered with a fault. */
class Fault extends Error {
  readonly code: number | undefined;

  constructor(status: number, code: number | undefined) {
    super(`the gateway refused (${code === undefined ? `HTTP status ${status}` : `UPnP error ${code}`})`);
    this.code = code;
  }
}

export class UpnpMapper implements PortMapper {
  readonly name = 'UPnP';
  readonly #options: UpnpOptions;
  readonly #deps: UpnpDeps;
  /** Where a mapping worked. */
  #known: { readonly service: MappingService; readonly client: string } | undefined;
  /** What may be mapped. */
  #asked: { readonly service: MappingService; readonly externalPort: number } | undefined;

  constructor(options: UpnpOptions, deps: UpnpDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  async map(internalPort: number, externalPort: number, signal: AbortSignal): Promise<Mapping> {
    const known = this.#known;
    this.#known = undefined;
    let failure: unknown;
    if (known !== undefined) {
      try {
        return await this.#mapAt(
          { services: [known.service], client: known.client },
          internalPort,
          externalPort,
          signal,
        );
      } catch (error) {
        // It may have moved.
        signal.throwIfAborted();
        failure = error;
      }
    }
    for await (const location of this.#search(signal)) {
      try {
        return await this.#mapAt(await this.#describe(location, signal), internalPort, externalPort, signal);
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
      }
    }
    throw failure ?? new Error('no gateway answered');
  }

  async unmap(signal: AbortSignal): Promise<void> {
    if (this.#asked === undefined) return;
    const { service, externalPort } = this.#asked;
    this.#asked = undefined;
    await this.#call(service, deletePortMapping(service.type, externalPort), signal);
  }

  async #mapAt(
    { services, client }: Found,
    internalPort: number,
    wanted: number,
    signal: AbortSignal,
  ): Promise<Mapping> {
    let failure: unknown = new Error('the gateway has no service that maps ports');
    for (const service of services) {
      try {
        const mapping = await this.#mapWith(service, client, internalPort, wanted, signal);
        this.#known = { service, client };
        return mapping;
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
      }
    }
    throw failure;
  }

  async #mapWith(
    service: MappingService,
    client: string,
    internalPort: number,
    wanted: number,
    signal: AbortSignal,
  ): Promise<Mapping> {
    const before = this.#asked;
    let externalPort = wanted;
    let leaseSeconds = Math.ceil(this.#options.natLifetimeMs / 1000);
    for (let tries = 1; ; ) {
      this.#asked = { service, externalPort };
      try {
        await this.#call(
          service,
          addPortMapping(service.type, { internalPort, externalPort }, client, leaseSeconds),
          signal,
        );
        const lifetimeMs = leaseSeconds === PERMANENT ? Number.POSITIVE_INFINITY : leaseSeconds * 1000;
        return { externalPort, lifetimeMs };
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        // Refused, so there is nothing new to take back; it may be somebody else's.
        this.#asked = before;
        if (error.code === FAULT.onlyPermanent && leaseSeconds !== PERMANENT) leaseSeconds = PERMANENT;
        else if (error.code === FAULT.conflict && tries++ < PORT_TRIES) externalPort = this.#anyPort();
        else throw error;
      }
    }
  }

  #anyPort(): number {
    return DYNAMIC_PORTS.first + Math.floor(this.#deps.random() * DYNAMIC_PORTS.count);
  }

  /** Descriptions of gateways, as they answer, until the time for that is over. */
  async *#search(signal: AbortSignal): AsyncGenerator<URL> {
    const socket = dgram.createSocket('udp4');
    const over = new AbortController();
    const waiting: URL[] = [];
    const seen = new Set<string>();
    let failure: Error | undefined;
    let wake = (): void => {};
    const onAbort = (): void => over.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', (error) => {
      failure = error;
      over.abort(error);
    });
    socket.on('message', (bytes, { address }) => {
      if (seen.size >= MAX_GATEWAYS || bytes.length > MAX_DATAGRAM || !this.#deps.isGateway(address)) return;
      const location = locationOf(bytes.toString('latin1'), address);
      if (location === undefined || seen.has(location.href)) return;
      seen.add(location.href);
      waiting.push(location);
      wake();
    });
    const { target, bind, clock } = this.#deps;
    try {
      signal.throwIfAborted();
      socket.bind({ port: 0, address: bind ?? '0.0.0.0' }, () => {
        for (const text of searchRequests(Math.max(1, Math.floor(this.#options.natSearchMs / 2000)))) {
          socket.send(text, target.port, target.host, (error) => {
            if (error !== null) socket.emit('error', error);
          });
        }
      });
      const late = clock.sleep(this.#options.natSearchMs, over.signal).catch(() => {});
      let isOver = false;
      late.then(() => {
        isOver = true;
      });
      while (!isOver || waiting.length > 0) {
        const location = waiting.shift();
        if (location !== undefined) {
          yield location;
          continue;
        }
        const news = new Promise<void>((resolve) => {
          wake = resolve;
        });
        await Promise.race([news, late]);
        signal.throwIfAborted();
      }
      if (failure !== undefined) throw failure;
    } finally {
      signal.removeEventListener('abort', onAbort);
      over.abort();
      socket.close();
    }
  }

  async #describe(location: URL, signal: AbortSignal): Promise<Found> {
    const { status, body, client } = await this.#fetch(location, undefined, signal);
    if (status !== 200) throw new Error(`the gateway's description: HTTP status ${status}`);
    return { services: mappingServices(body, location), client };
  }

  async #call({ control }: MappingService, call: SoapCall, signal: AbortSignal): Promise<void> {
    const { status, body } = await this.#fetch(control, call, signal);
    if (status !== 200) throw new Fault(status, faultOf(body));
  }

  #fetch(url: URL, call: SoapCall | undefined, signal: AbortSignal): Promise<Reply> {
    const { natRequestMs, natBodyBytes } = this.#options;
    const late = (): Error => new Error(`the gateway gave no answer within ${natRequestMs} ms`);
    return within(this.#deps.clock, natRequestMs, late, signal, (bounds) =>
      exchange(url, call, this.#deps.bind, natBodyBytes, bounds),
    );
  }
}

/** One HTTP exchange on a connection of its own; redirects are not followed. */
function exchange(
  url: URL,
  call: SoapCall | undefined,
  bind: string | undefined,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => reject(signal.aborted ? signal.reason : error);
    const body = call === undefined ? undefined : Buffer.from(call.body);
    const headers = call !== undefined && {
      'content-type': 'text/xml; charset="utf-8"',
      'content-length': body!.length,
      soapaction: call.soapAction,
    };
    const sent = request(url, {
      method: call === undefined ? 'GET' : 'POST',
      agent: false,
      signal,
      ...(headers && { headers }),
      ...(bind !== undefined && { localAddress: bind }),
    });
    sent.on('error', onError);
    // Without an error when the gateway wants to speak something else.
    const onClose = (): void => onError(new Error('the gateway hung up'));
    sent.on('close', onClose);
    sent.on('response', (response) => {
      sent.off('close', onClose);
      response.on('close', onClose);
      const client = response.socket.localAddress ?? '';
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('error', onError);
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        chunks.push(chunk);
        if (length > maxBytes) response.destroy(new Error(`the gateway answered more than ${maxBytes} bytes`));
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString(), client }),
      );
    });
    sent.end(body);
  });
}
