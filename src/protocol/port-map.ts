/**
 * Packets that ask a gateway to forward a TCP port: PCP MAP (RFC 6887) and its forerunner NAT-PMP (RFC 6886), which share a UDP
 * port and tell each other apart by the first byte. Pure; when to ask whom is decided by `discovery/port-mapping/`.
 */
import { ipBytes } from './address.js';

/** Where gateways listen. */
export const PORT_MAP_PORT = 5351;

/** RFC 6887: no packet is longer. */
const MAX_LENGTH = 1100;
const PCP = 2;
const PCP_HEADER = 24;
const PCP_MAP_LENGTH = 60;
/** Bytes of the nonce of a PCP mapping. */
export const NONCE_LENGTH = 12;
const MAP = 1;
const PMP = 0;
const PMP_MAP_TCP = 2;
const PMP_ANSWER_LENGTH = 16;
/** Opcode bit of answers: the high one in both protocols. */
const ANSWER = 0x80;
const TCP = 6;
const UNSUPPORTED_VERSION = 1;

export interface MapRequest {
  /** Port on this machine. */
  readonly internalPort: number;
  /** The one hoped for outside; 0 for any. */
  readonly externalPort: number;
  /** 0 ends the mapping. */
  readonly lifetimeSeconds: number;
}

/** What a gateway granted. */
export interface MapGrant {
  readonly internalPort: number;
  readonly externalPort: number;
  readonly lifetimeSeconds: number;
}

export type MapAnswer =
  | ({ readonly type: 'granted' } & MapGrant)
  /** @property code result code of the protocol that was asked in */
  | { readonly type: 'refused'; readonly code: number }
  /** The gateway does not speak the version it was asked in. */
  | { readonly type: 'unsupported' };

/**
 * A PCP MAP request for TCP.
 * @param client canonical IPv4 address that the packet is sent from
 * @param nonce 12 bytes, the same for every request about one mapping
 */
export function pcpRequest(request: MapRequest, client: string, nonce: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PCP_MAP_LENGTH);
  const view = new DataView(bytes.buffer);
  bytes[0] = PCP;
  bytes[1] = MAP;
  view.setUint32(4, request.lifetimeSeconds);
  bytes.set(mapped(client), 8);
  bytes.set(nonce, PCP_HEADER);
  bytes[36] = TCP;
  view.setUint16(40, request.internalPort);
  view.setUint16(42, request.externalPort);
  // RFC 6887 §11.1: the all-zeros IPv4 address when any external one will do.
  bytes.set(mapped('0.0.0.0'), 44);
  return bytes;
}

/** A NAT-PMP request to map a TCP port. RFC 6886 §3.4: the external port is 0 when a mapping is ended. */
export function pmpRequest({ internalPort, externalPort, lifetimeSeconds }: MapRequest): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  bytes[0] = PMP;
  bytes[1] = PMP_MAP_TCP;
  view.setUint16(4, internalPort);
  view.setUint16(6, lifetimeSeconds === 0 ? 0 : externalPort);
  view.setUint32(8, lifetimeSeconds);
  return bytes;
}

/** @returns `undefined` for what does not answer a PCP request with this nonce and port */
export function parsePcpAnswer(bytes: Uint8Array, nonce: Uint8Array, internalPort: number): MapAnswer | undefined {
  const view = viewOf(bytes);
  if (view === undefined) return undefined;
  // RFC 6887 appendix A: a gateway that knows NAT-PMP alone answers in its own version.
  if (bytes[0] === PMP) return view.getUint16(2) === UNSUPPORTED_VERSION ? { type: 'unsupported' } : undefined;
  if ((bytes[1]! & ANSWER) === 0 || bytes.length < PCP_HEADER) return undefined;
  const code = bytes[3]!;
  if (code === UNSUPPORTED_VERSION) return { type: 'unsupported' };
  if (bytes[0] !== PCP || bytes[1] !== (ANSWER | MAP) || bytes.length < PCP_MAP_LENGTH) return undefined;
  if (nonce.some((byte, i) => bytes[PCP_HEADER + i] !== byte)) return undefined;
  if (bytes[36] !== TCP || view.getUint16(40) !== internalPort) return undefined;
  if (code !== 0) return { type: 'refused', code };
  return { type: 'granted', internalPort, externalPort: view.getUint16(42), lifetimeSeconds: view.getUint32(4) };
}

/** @returns `undefined` for what does not answer a NAT-PMP request for this port */
export function parsePmpAnswer(bytes: Uint8Array, internalPort: number): MapAnswer | undefined {
  const view = viewOf(bytes);
  if (view === undefined || bytes[0] !== PMP) return undefined;
  const code = view.getUint16(2);
  if (code === UNSUPPORTED_VERSION) return { type: 'unsupported' };
  if (bytes[1] !== (ANSWER | PMP_MAP_TCP)) return undefined;
  // A refusal may be no more than a header.
  if (code !== 0) return { type: 'refused', code };
  if (bytes.length < PMP_ANSWER_LENGTH || view.getUint16(8) !== internalPort) return undefined;
  return { type: 'granted', internalPort, externalPort: view.getUint16(10), lifetimeSeconds: view.getUint32(12) };
}

/** @returns `undefined` for what is too short for any answer, or too long */
function viewOf(bytes: Uint8Array): DataView | undefined {
  if (bytes.length < 8 || bytes.length > MAX_LENGTH) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** An IPv4 address as IPv6 writes it. */
function mapped(host: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set([0xff, 0xff, ...ipBytes(host)], 10);
  return bytes;
}
