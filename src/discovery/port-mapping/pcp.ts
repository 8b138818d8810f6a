/**
 * Asks the default gateway for a port over PCP (RFC 6887), or NAT-PMP (RFC 6886) when it knows nothing newer or says nothing:
 * some gateways of the old kind drop what they do not know. The packets are `protocol/port-map.ts`'s, the times are
 * `port-mapping.ts`'s.
 */
import dgram from 'node:dgram';
import type { Options } from '../../options.js';
import type { PeerAddress } from '../../protocol/address.js';
import {
  type MapAnswer,
  type MapGrant,
  type MapRequest,
  NONCE_LENGTH,
  parsePcpAnswer,
  parsePmpAnswer,
  pcpRequest,
  pmpRequest,
} from '../../protocol/port-map.js';
import { type Clock, unlessAborted } from '../clock.js';
import type { Mapping, PortMapper } from './mapper.js';

export interface PcpDeps {
  /** Nothing is asked when there is none. */
  readonly gateway: () => Promise<PeerAddress | undefined>;
  readonly clock: Clock;
  /** Uniform in [0, 1), unpredictable: the nonce keeps others from ending the mapping. */
  readonly random: () => number;
  /** Canonical IPv4 address to send from; any when absent. */
  readonly bind?: string | undefined;
}

type Protocol = 'PCP' | 'NAT-PMP';

/** What is sent at most: 250 ms, 500 ms and 1 s are waited for an answer. RFC 6886 would go on for a minute. */
const SENDS = 3;

export class PcpMapper implements PortMapper {
  readonly name = 'PCP';
  readonly #options: Pick<Options, 'natLifetimeMs' | 'natResendMs'>;
  readonly #deps: PcpDeps;
  readonly #nonce: Uint8Array;
  /** What may be mapped, and where that was asked for. */
  #asked: { readonly internalPort: number; readonly gateway: PeerAddress } | undefined;
  /** That the gateway has answered in. */
  #protocol: Protocol | undefined;

  constructor(options: Pick<Options, 'natLifetimeMs' | 'natResendMs'>, deps: PcpDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#nonce = Uint8Array.from({ length: NONCE_LENGTH }, () => Math.floor(deps.random() * 256));
  }

  async map(internalPort: number, externalPort: number, signal: AbortSignal): Promise<Mapping> {
    const gateway = await this.#deps.gateway();
    signal.throwIfAborted();
    if (gateway === undefined) throw new Error('no default gateway is known');
    this.#asked = { internalPort, gateway };
    const lifetimeSeconds = Math.ceil(this.#options.natLifetimeMs / 1000);
    const granted = await this.#negotiate(gateway, { internalPort, externalPort, lifetimeSeconds }, signal);
    if (granted.externalPort === 0 || granted.lifetimeSeconds === 0) throw new Error('the gateway granted nothing');
    return { externalPort: granted.externalPort, lifetimeMs: granted.lifetimeSeconds * 1000 };
  }

  async unmap(signal: AbortSignal): Promise<void> {
    if (this.#asked === undefined) return;
    const { internalPort, gateway } = this.#asked;
    this.#asked = undefined;
    await this.#negotiate(gateway, { internalPort, externalPort: 0, lifetimeSeconds: 0 }, signal);
  }

  /** In the protocol that worked before, or the newer one first. */
  async #negotiate(gateway: PeerAddress, request: MapRequest, signal: AbortSignal): Promise<MapGrant> {
    const protocols: readonly Protocol[] = this.#protocol === undefined ? ['PCP', 'NAT-PMP'] : [this.#protocol];
    this.#protocol = undefined;
    for (const protocol of protocols) {
      const answer = await this.#ask(gateway, protocol, request, signal);
      if (answer === undefined || answer.type === 'unsupported') continue;
      if (answer.type === 'refused') throw new Error(`the gateway refused (${protocol} result ${answer.code})`);
      this.#protocol = protocol;
      return answer;
    }
    throw new Error(`the gateway ${gateway.host} speaks neither PCP nor NAT-PMP`);
  }

  /** @returns `undefined` when nothing came */
  async #ask(
    gateway: PeerAddress,
    protocol: Protocol,
    request: MapRequest,
    signal: AbortSignal,
  ): Promise<MapAnswer | undefined> {
    const socket = dgram.createSocket('udp4');
    const ended = new AbortController();
    const onAbort = (): void => ended.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      signal.throwIfAborted();
      const answered = new Promise<MapAnswer>((resolve, reject) => {
        socket.on('error', reject);
        socket.on('message', (bytes) => {
          const answer =
            protocol === 'PCP'
              ? parsePcpAnswer(bytes, this.#nonce, request.internalPort)
              : parsePmpAnswer(bytes, request.internalPort);
          if (answer !== undefined) resolve(answer);
        });
      });
      // Nobody may be waiting yet.
      answered.catch(() => {});
      const client = await unlessAborted(Promise.race([connected(socket, gateway, this.#deps.bind), answered]), signal);
      if (typeof client !== 'string') return client;
      const bytes = protocol === 'PCP' ? pcpRequest(request, client, this.#nonce) : pmpRequest(request);
      return await Promise.race([answered, this.#send(socket, bytes, ended.signal)]);
    } catch (error) {
      signal.throwIfAborted();
      // Nobody listens there: as good as silence, and sooner.
      if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return undefined;
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
      ended.abort();
      socket.close();
    }
  }

  /** Sends, and again after pauses that double; resolves after the last one, rejects when aborted. */
  async #send(socket: dgram.Socket, bytes: Uint8Array, signal: AbortSignal): Promise<undefined> {
    for (let sent = 0; sent < SENDS; sent++) {
      // What fails is an 'error' too, or is repaired by the next one.
      socket.send(bytes, () => {});
      await this.#deps.clock.sleep(this.#options.natResendMs * 2 ** sent, signal);
    }
  }
}

/** Only the gateway can be heard then. @returns the address that it is spoken to from */
function connected(socket: dgram.Socket, to: PeerAddress, bind: string | undefined): Promise<string> {
  return new Promise((resolve) => {
    socket.bind({ address: bind ?? '0.0.0.0', port: 0 }, () => {
      socket.connect(to.port, to.host, (error?: Error) => {
        if (error) socket.emit('error', error);
        else resolve(socket.address().address);
      });
    });
  });
}
