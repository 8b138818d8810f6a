/**
 * The extension protocol (BEP 10): the extended handshake and the bodies of the extended messages we speak. Pure. Each side
 * names the ids it wants to be sent: the peer's ids are for sending, ours for receiving, and 0 switches one off.
 */
import { decodeCompact, encodeCompact, type Family, familyOf, ipBytes, ipText, type PeerAddress } from './address.js';
import {
  asBytes,
  asDict,
  asInteger,
  type BencodeDict,
  BencodeError,
  type BencodeLimits,
  decode,
  encode,
} from './bencode.js';
import { encodeExtended, WireError } from './wire.js';

/** Id of the extended handshake itself. */
export const EXTENDED_HANDSHAKE = 0;

/** Ids that peers send us extended messages with. */
export const OUR_IDS = { ut_pex: 1, lt_donthave: 7 } as const;
export type ExtensionName = keyof typeof OUR_IDS;

/** A handshake is a few hundred bytes; what is far larger or deeper is an attack. */
const LIMITS: Partial<BencodeLimits> = { maxBytes: 16_384, maxDepth: 5, maxTokens: 1_000 };
/** Addresses taken from one PEX message; a well-behaved one has at most 50 (BEP 11). */
const MAX_PEX = 100;

/** What an extended handshake says, checked; junk in a field is as good as its absence. */
export interface ExtendedHandshake {
  /** Ids to send the peer's extensions with. */
  readonly ids: Readonly<Partial<Record<ExtensionName, number>>>;
  /** Name and version of the client, at most 64 printable characters. */
  readonly client: string | undefined;
  /** Requests the peer queues. */
  readonly reqq: number | undefined;
  /** Port it listens on. */
  readonly port: number | undefined;
  /** The address it sees us at. */
  readonly yourIp: string | undefined;
  /** BEP 21: it wants nothing. */
  readonly uploadOnly: boolean;
}

export interface OurHandshake {
  readonly client: string;
  readonly reqq: number;
  /** The port we listen on; 0 for none. */
  readonly port: number;
  /** The peer's address as we see it. */
  readonly yourIp: string;
  readonly uploadOnly: boolean;
  /** Bytes of the metainfo's info dictionary. */
  readonly metadataSize: number;
  /** BEP 27: a private torrent exchanges no peers. */
  readonly pex: boolean;
}

export function encodeHandshake(ours: OurHandshake): Uint8Array {
  const m = { lt_donthave: OUR_IDS.lt_donthave, ut_pex: ours.pex ? OUR_IDS.ut_pex : 0 };
  return encodeExtended(
    EXTENDED_HANDSHAKE,
    encode({
      m,
      ...(ours.metadataSize > 0 && { metadata_size: ours.metadataSize }),
      ...(ours.port > 0 && { p: ours.port }),
      reqq: ours.reqq,
      ...(ours.uploadOnly && { upload_only: 1 }),
      v: new TextEncoder().encode(ours.client),
      yourip: ipBytes(ours.yourIp),
    }),
  );
}

/**
 * @param before what the peer said last: a later handshake names what has changed (BEP 10)
 * @throws WireError when the body is no dictionary within bounds
 */
export function parseHandshake(body: Uint8Array, before?: ExtendedHandshake): ExtendedHandshake {
  const dict = dictOf(body, 'extended handshake');
  const m = asDict(dict.get('m'));
  const ids: Partial<Record<ExtensionName, number>> = { ...before?.ids };
  for (const name of Object.keys(OUR_IDS) as ExtensionName[]) {
    const id = asInteger(m?.get(name));
    if (id === 0) delete ids[name];
    else if (id !== undefined && id > 0 && id < 256) ids[name] = id;
  }
  return {
    ids,
    client: textOf(asBytes(dict.get('v'))) ?? before?.client,
    reqq: within(asInteger(dict.get('reqq')), 1, 1_000_000) ?? before?.reqq,
    port: within(asInteger(dict.get('p')), 1, 65_535) ?? before?.port,
    yourIp: ipOf(asBytes(dict.get('yourip'))) ?? before?.yourIp,
    uploadOnly: dict.has('upload_only') ? asInteger(dict.get('upload_only')) === 1 : before?.uploadOnly === true,
  };
}

/** What is told of a peer beside its address (BEP 11); the bits between are of uTP and hole punching. */
export const PEX_FLAGS = { encryption: 0x01, uploadOnly: 0x02, reachable: 0x10 } as const;

export interface PexPeer extends PeerAddress {
  /** Of `PEX_FLAGS`. */
  readonly flags: number;
}

/** Peers met and lost since the last message (BEP 11). */
export function encodePex(id: number, added: readonly PexPeer[], dropped: readonly PeerAddress[]): Uint8Array {
  const of = (peers: readonly PeerAddress[], family: Family): Uint8Array =>
    encodeCompact(
      peers.filter(({ host }) => familyOf(host) === family),
      family,
    );
  const flags = (family: Family): Uint8Array =>
    Uint8Array.from(
      added.filter(({ host }) => familyOf(host) === family),
      ({ flags }) => flags,
    );
  return encodeExtended(
    id,
    encode({
      added: of(added, 4),
      'added.f': flags(4),
      added6: of(added, 6),
      'added6.f': flags(6),
      dropped: of(dropped, 4),
      dropped6: of(dropped, 6),
    }),
  );
}

/** The peers a PEX message adds, at most 100. @throws WireError when it is no dictionary within bounds */
export function parsePex(body: Uint8Array): PeerAddress[] {
  const dict = dictOf(body, 'ut_pex');
  const of = (key: string, family: Family): PeerAddress[] =>
    decodeCompact(asBytes(dict.get(key)) ?? new Uint8Array(), family, MAX_PEX);
  return [...of('added', 4), ...of('added6', 6)].slice(0, MAX_PEX);
}

/** BEP 54: the peer lost a piece. @throws WireError when the body is no index */
export function parseDontHave(body: Uint8Array): number {
  if (body.length !== 4) throw new WireError(`lt_donthave of ${body.length} bytes, expected 4`);
  return new DataView(body.buffer, body.byteOffset, 4).getUint32(0);
}

function dictOf(body: Uint8Array, what: string): BencodeDict {
  try {
    const dict = asDict(decode(body, LIMITS));
    if (dict !== undefined) return dict;
  } catch (error) {
    if (!(error instanceof BencodeError)) throw error;
  }
  throw new WireError(`${what} is no bencoded dictionary of at most ${LIMITS.maxBytes} bytes`);
}

const within = (value: number | undefined, min: number, max: number): number | undefined =>
  value !== undefined && value >= min && value <= max ? value : undefined;

const ipOf = (bytes: Uint8Array | undefined): string | undefined =>
  bytes?.length === 4 || bytes?.length === 16 ? ipText(bytes) : undefined;

function textOf(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  return new TextDecoder().decode(bytes.subarray(0, 64)).replace(/[^\x20-\x7e]/g, '');
}
