/**
 * A participant of a made-up swarm: raw bytes on real loopback sockets, none of the codecs under test. It serves what it has at
 * a steady rate, and trades if it is told to: asks rarest first, unchokes by tit for tat, announces what it gets. Payload is
 * compared with the torrent's as it comes, and not kept.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import {
  bitfield,
  CHOKE,
  handshakeOf,
  have,
  INTERESTED,
  NOT_INTERESTED,
  UNCHOKE,
} from '../../test/helpers/scripted-peer.js';
import type { SmallTorrent } from '../../test/helpers/small-torrent.js';
import { type Source, SwarmBlocks } from './swarm-blocks.js';

const HANDSHAKE = 68;

export interface PeerPlan {
  readonly torrent: SmallTorrent;
  readonly peerId: string;
  /** Uploads at most so many bytes per second, over all connections; without a limit when absent. */
  readonly bytesPerSecond?: number;
  /** One byte per piece, 1 for those it has from the start; all when absent. */
  readonly has?: Uint8Array;
  /** Fetches what it lacks; without it nothing is asked for. */
  readonly trades?: boolean;
  /** Fetches for ever and keeps nothing: a measure of what it is given. */
  readonly drains?: boolean;
  /** Peers unchoked by what they gave in the last round; everybody when absent. One more is drawn by lot. */
  readonly slots?: number;
  readonly random?: () => number;
}

/** Requests outstanding at one peer: a second of a good rate, little enough that trading partners stay responsive. */
const WINDOW = 16;
/** Of one who drains: no rate must be limited by this. */
const DRAIN_WINDOW = 400;
const ROUND_MS = 10_000;
const SEND_AT_ONCE = 64;
const UNSENT_BYTES = 1_048_576;

/** One connection. */
class Link implements Source {
  readonly socket: Socket;
  peerId = '';
  readonly has: Uint8Array;
  amChoking = true;
  amInterested = false;
  /** Whether we ever were interested. */
  wasWanted = false;
  peerChoking = true;
  peerInterested = false;
  /** Requests of theirs, not answered yet. */
  asked: { piece: number; begin: number; length: number }[] = [];
  readonly owed = new Set<number>();
  received = 0;
  /** At the start of the round. */
  receivedBefore = 0;

  constructor(socket: Socket, pieceCount: number) {
    this.socket = socket;
    this.has = new Uint8Array(pieceCount);
  }
}

export class SwarmPeer {
  readonly plan: PeerPlan;
  readonly #server: Server;
  readonly #links = new Set<Link>();
  /** Those that are gone, too. */
  readonly #everyLink: Link[] = [];
  readonly #blocks: SwarmBlocks;
  #freeAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #round: NodeJS.Timeout | undefined;
  #turn = 0;
  /** When it had all, `performance.now()`. */
  completeAt: number | undefined;
  /** Payload bytes received, of use or not, and sent. */
  received = 0;
  sent = 0;
  readonly complete: Promise<void>;
  #onComplete!: () => void;
  #onFailure!: (error: Error) => void;

  private constructor(plan: PeerPlan, server: Server) {
    this.plan = plan;
    this.#server = server;
    this.#blocks = new SwarmBlocks(plan.torrent, plan.has);
    this.complete = new Promise((resolve, reject) => {
      this.#onComplete = resolve;
      this.#onFailure = reject;
    });
    // Who waits for it hears of it.
    this.complete.catch(() => {});
    if (plan.slots !== undefined) this.#round = setInterval(() => this.#chokeRound(), ROUND_MS);
  }

  static async listen(plan: PeerPlan): Promise<SwarmPeer> {
    const server = createServer();
    const peer = new SwarmPeer(plan, server);
    server.on('connection', (socket) => peer.#attach(socket, false));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return peer;
  }

  get address(): { host: string; port: number } {
    return { host: '127.0.0.1', port: (this.#server.address() as AddressInfo).port };
  }

  /** What was had from each connection, by the other's peer id, and whether it was ever wanted. */
  get traffic(): { readonly peerId: string; readonly received: number; readonly wasWanted: boolean }[] {
    return this.#everyLink.map(({ peerId, received, wasWanted }) => ({ peerId, received, wasWanted }));
  }

  dial(port: number): void {
    this.#attach(connect(port, '127.0.0.1'), true);
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    clearInterval(this.#round);
    for (const { socket } of this.#links) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #attach(socket: Socket, dialled: boolean): void {
    const link = new Link(socket, this.plan.torrent.pieceCount);
    this.#links.add(link);
    this.#everyLink.push(link);
    let rest: Buffer = Buffer.alloc(0);
    let shaken = false;
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('drain', () => this.#serve());
    socket.on('close', () => this.#onClose(link));
    socket.on('data', (chunk) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let at = 0;
      if (!shaken) {
        if (rest.length < HANDSHAKE) return;
        shaken = true;
        at = HANDSHAKE;
        link.peerId = rest.toString('latin1', 48, 68);
        if (!dialled) socket.write(this.#greeting());
        socket.write(bitfield(bitsOf(this.#blocks.has)));
      }
      // Several answers are one write.
      socket.cork();
      while (rest.length - at >= 4) {
        const length = rest.readUInt32BE(at);
        if (rest.length - at < 4 + length) break;
        if (length > 0) this.#onMessage(link, rest[at + 4]!, rest.subarray(at + 5, at + 4 + length));
        at += 4 + length;
      }
      socket.uncork();
      rest = rest.subarray(at);
    });
    if (dialled) socket.write(this.#greeting());
  }

  #greeting(): Buffer {
    return handshakeOf(this.plan.torrent.infohash, this.plan.peerId);
  }

  #onClose(link: Link): void {
    this.#links.delete(link);
    this.#blocks.forget(link);
  }

  #onMessage(link: Link, id: number, body: Buffer): void {
    switch (id) {
      case 0:
        link.peerChoking = true;
        return this.#blocks.release(link);
      case 1:
        link.peerChoking = false;
        return this.#ask(link);
      case 2:
        link.peerInterested = true;
        return this.#onInterest(link);
      case 3:
        link.peerInterested = false;
        return;
      case 4:
        this.#blocks.learn(link, body.readUInt32BE());
        return this.#ask(link);
      case 5:
        for (const piece of link.has.keys()) {
          if (body[piece >> 3]! & (0x80 >> (piece & 7))) this.#blocks.learn(link, piece);
        }
        return this.#ask(link);
      case 6:
        if (link.amChoking) return;
        link.asked.push({ piece: body.readUInt32BE(), begin: body.readUInt32BE(4), length: body.readUInt32BE(8) });
        return this.#serve();
      case 7:
        return this.#onBlock(link, body.readUInt32BE(), body.readUInt32BE(4), body.subarray(8));
      case 8: {
        const [piece, begin] = [body.readUInt32BE(), body.readUInt32BE(4)];
        link.asked = link.asked.filter((asked) => asked.piece !== piece || asked.begin !== begin);
        return;
      }
    }
  }

  // Uploads

  #onInterest(link: Link): void {
    const { slots } = this.plan;
    if (!link.amChoking) return;
    const unchoked = [...this.#links].filter(({ amChoking }) => !amChoking).length;
    if (slots === undefined || unchoked <= slots) this.#unchoke(link);
  }

  #unchoke(link: Link): void {
    if (!link.amChoking) return;
    link.amChoking = false;
    link.socket.write(UNCHOKE);
  }

  /** Tit for tat: who gave most since the last round, and one by lot. */
  #chokeRound(): void {
    const { slots = 0, random = Math.random } = this.plan;
    const given = (link: Link): number => link.received - link.receivedBefore;
    const interested = [...this.#links].filter(({ peerInterested }) => peerInterested);
    const lots = new Map(interested.map((link) => [link, random()]));
    interested.sort((a, b) => given(b) - given(a) || lots.get(a)! - lots.get(b)!);
    const lucky = interested.slice(slots).sort((a, b) => lots.get(a)! - lots.get(b)!)[0];
    const chosen = new Set(interested.slice(0, slots));
    if (lucky !== undefined) chosen.add(lucky);
    for (const link of this.#links) {
      link.receivedBefore = link.received;
      if (chosen.has(link)) this.#unchoke(link);
      else if (!link.amChoking) {
        link.amChoking = true;
        link.asked = [];
        link.socket.write(CHOKE);
      }
    }
  }

  /** Blocks go out by turns of the connections, each when the rate allows it. */
  #serve(): void {
    if (this.#timer !== undefined) return;
    const { bytesPerSecond, torrent } = this.plan;
    const now = performance.now();
    // What was not used in the past is not saved up.
    this.#freeAt = Math.max(this.#freeAt, now - 50);
    for (let sent = 0; ; sent++) {
      const wait = bytesPerSecond === undefined ? (sent < SEND_AT_ONCE ? 0 : 1) : this.#freeAt - now;
      const link = wait > 0 ? undefined : this.#nextAsking();
      if (link === undefined) {
        if (wait > 0 && this.#isAsked()) this.#timer = setTimeout(this.#onTimer, wait);
        return;
      }
      const { piece, begin, length } = link.asked.shift()!;
      const from = piece * torrent.pieceLength + begin;
      const head = Buffer.allocUnsafe(13);
      head.writeUInt32BE(9 + length);
      head[4] = 7;
      head.writeUInt32BE(piece, 5);
      head.writeUInt32BE(begin, 9);
      // What goes out in this turn is one write.
      if (link.socket.writableCorked === 0) {
        link.socket.cork();
        process.nextTick(uncork, link.socket);
      }
      link.socket.write(head);
      link.socket.write(torrent.payload.subarray(from, from + length));
      this.sent += length;
      if (bytesPerSecond !== undefined) this.#freeAt += (length * 1000) / bytesPerSecond;
    }
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#serve();
  };

  #isAsked(): boolean {
    for (const { asked } of this.#links) if (asked.length > 0) return true;
    return false;
  }

  /** Who asks for something and takes it: what is not taken is not piled up. */
  #nextAsking(): Link | undefined {
    const links = [...this.#links];
    for (let i = 0; i < links.length; i++) {
      const link = links[(this.#turn + i) % links.length]!;
      if (link.asked.length === 0) continue;
      if (link.socket.writableLength > UNSENT_BYTES) continue;
      this.#turn += i + 1;
      return link;
    }
    return undefined;
  }

  // Downloads

  get #fetches(): boolean {
    return this.plan.trades === true || this.plan.drains === true;
  }

  #ask(link: Link): void {
    if (!this.#fetches) return;
    const wants = this.plan.drains === true || this.#blocks.wants(link);
    if (wants !== link.amInterested) {
      link.amInterested = wants;
      link.wasWanted ||= wants;
      link.socket.write(wants ? INTERESTED : NOT_INTERESTED);
    }
    if (link.peerChoking || !wants) return;
    const window = this.plan.drains === true ? DRAIN_WINDOW : WINDOW;
    if (link.owed.size > window / 2) return;
    const requests: Buffer[] = [];
    while (link.owed.size < window) {
      const index = this.#next(link);
      if (index === -1) break;
      requests.push(this.#blocks.ask(link, index));
    }
    if (requests.length > 0) link.socket.write(Buffer.concat(requests));
  }

  #next(link: Link): number {
    const { drains, random = Math.random } = this.plan;
    return drains === true ? this.#blocks.nextToDrain(link) : this.#blocks.next(link, random);
  }

  #onBlock(link: Link, piece: number, begin: number, bytes: Buffer): void {
    const { payload, pieceLength } = this.plan.torrent;
    const from = piece * pieceLength + begin;
    if (!payload.subarray(from, from + bytes.length).equals(bytes)) {
      return this.#onFailure(new Error(`${link.peerId} sent wrong bytes of piece ${piece} to ${this.plan.peerId}`));
    }
    link.received += bytes.length;
    this.received += bytes.length;
    if (this.#blocks.onBlock(link, piece, begin, this.plan.drains !== true)) this.#onPiece(piece);
    this.#ask(link);
  }

  #onPiece(piece: number): void {
    const news = have(piece);
    for (const link of this.#links) {
      // A peer that has it needs not be told.
      if (link.has[piece] === 0) link.socket.write(news);
    }
    if (!this.#blocks.isComplete) return;
    this.completeAt = performance.now();
    for (const link of this.#links) {
      if (!link.amInterested) continue;
      link.amInterested = false;
      link.socket.write(NOT_INTERESTED);
    }
    this.#onComplete();
  }
}

const uncork = (socket: Socket): void => socket.uncork();

/** A bitfield's bytes out of one byte per piece. */
function bitsOf(has: Uint8Array): Buffer {
  const bits = Buffer.alloc(Math.ceil(has.length / 8));
  for (const [piece, here] of has.entries()) if (here === 1) bits[piece >> 3]! |= 0x80 >> (piece & 7);
  return bits;
}
