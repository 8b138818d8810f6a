/**
 * One torrent in one group: its connections, what the group needs of it, and the conversation with main about both. Blocks
 * come in through the sessions; wants and statistics go out as messages, leases through the `LeaseDesk`.
 */
import type { DisconnectReason, LeaseGrant, ToGroup, TorrentStats } from '../src/messages.js';
import type { PeerAddress } from '../src/protocol/address.js';
import type { OurHandshake, PexPeer } from '../src/protocol/extension.js';
import { fastSet } from '../src/protocol/fast-set.js';
import { BLOCK_LENGTH, encodeHaves } from '../src/protocol/wire.js';
import { FileStore } from '../src/storage/files.js';
import { Bitfield } from '../src/torrent/bitfield.js';
import { Geometry, type PieceIndex } from '../src/torrent/geometry.js';
import { LeaseTable } from '../src/torrent/lease-table.js';
import type { PeerSession, SessionTorrent } from '../src/torrent/peer-session.js';
import type { PieceBuffer } from '../src/torrent/piece-buffer.js';
import { type GroupSection, SharedMemory } from '../src/torrent/shared-memory.js';
import { Choking } from './choking.js';
import type { Connection } from './connection.js';
import type { GroupContext } from './context.js';
import { Endgame } from './endgame.js';
import { LeaseDesk } from './lease-desk.js';
import { Limit } from './limits.js';
import { PeerSurvey } from './peer-survey.js';
import { Tally } from './tally.js';
import { Uploader } from './upload.js';
import { UploadTurns } from './upload-turns.js';
import { WantGauge } from './want-gauge.js';

type MetainfoMessage = Extract<ToGroup, { type: 'metainfo' }>;

/** What is only there once the metainfo is. */
interface Content {
  readonly geometry: Geometry;
  readonly have: Bitfield;
  readonly needs: Bitfield;
  readonly full: Bitfield;
  readonly desk: LeaseDesk;
  readonly memory: SharedMemory;
  readonly section: GroupSection;
  readonly uploader: Uploader;
  readonly private: boolean;
  readonly metadataSize: number;
  readonly gauge: WantGauge;
}

export class GroupTorrent implements SessionTorrent {
  readonly key: number;
  /** Ours, as announced; 0 for none. */
  readonly port: number;
  readonly infohash: Uint8Array;
  readonly peerId: Uint8Array;
  readonly leases = new LeaseTable();
  /** The group's share of what the torrent may receive. */
  readonly down: Limit;
  readonly #context: GroupContext;
  /** Every connection, in handshake or established. */
  readonly #connections = new Set<Connection>();
  readonly #choking: Choking;
  readonly #endgame: Endgame;
  readonly #survey: PeerSurvey;
  #content: Content | undefined;
  #removed: DisconnectReason | undefined;
  readonly #tally = new Tally();
  readonly #turns = new UploadTurns();

  constructor(context: GroupContext, { torrent, infohash, peerId, port }: Extract<ToGroup, { type: 'addTorrent' }>) {
    this.#context = context;
    this.down = new Limit(context.down);
    this.key = torrent;
    this.infohash = infohash;
    this.peerId = peerId;
    this.port = port;
    this.#endgame = new Endgame(this.leases, context.options.leaseIdleMs);
    this.#choking = new Choking(context.options, context.random);
    this.#survey = new PeerSurvey(torrent, context);
  }

  /** Whether connections can be established: the metainfo is known and the torrent not on its way out. */
  get isReady(): boolean {
    return this.#content !== undefined && this.#removed === undefined;
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  /** Peers that may be asked for something. */
  get giving(): number {
    let giving = 0;
    for (const session of this.#sessions()) if (session.askable !== undefined) giving++;
    return giving;
  }

  get geometry(): Geometry {
    return this.#ready.geometry;
  }

  get have(): Bitfield {
    return this.#ready.have;
  }

  get needs(): Bitfield {
    return this.#ready.needs;
  }

  get full(): Bitfield {
    return this.#ready.full;
  }

  get isTight(): boolean {
    return this.#ready.memory.isScarce;
  }

  get #ready(): Content {
    if (this.#content === undefined) throw new Error(`torrent ${this.key} is used before its metainfo`);
    return this.#content;
  }

  onMetainfo(message: MetainfoMessage): void {
    const geometry = new Geometry(message.geometry);
    const count = geometry.pieceCount;
    const have = Bitfield.fromWire(message.have, count);
    const needs = Bitfield.fromWire(message.wanted, count);
    if (have === undefined || needs === undefined) throw new Error(`bitsets of torrent ${this.key} do not fit`);
    for (const piece of have) needs.clear(piece);
    const memory = new SharedMemory(message.shared, count);
    const section = memory.section(this.#context.group);
    const { options, openFiles } = this.#context;
    const store = new FileStore({ root: message.root, files: message.files, openFiles, readonly: true });
    this.#content = {
      geometry,
      have,
      needs,
      full: Bitfield.full(count),
      desk: new LeaseDesk(this.key, this.leases, geometry, memory.hashes, this.#context, {
        onWaste: (bytes) => this.onWaste(bytes),
        onLast: () => this.#reportStats(),
        onHashed: () => this.#finishRemoval(),
      }),
      private: message.private,
      metadataSize: message.metadataSize,
      memory,
      section,
      uploader: new Uploader(store, geometry, this.#context, {
        onSent: (session, bytes) => this.#onSent(session, bytes),
        onFailed: (text) => this.#context.post({ type: 'readFailed', torrent: this.key, message: text }),
      }),
      gauge: new WantGauge(geometry, section, options),
    };
  }

  /** A connection was dialled or accepted for this torrent. */
  add(connection: Connection): void {
    this.#connections.add(connection);
  }

  /** The handshake is done. */
  onConnected(connection: Connection): void {
    this.#connections.add(connection);
    const { peer, host, port, incoming, encrypted } = connection;
    const peerId = connection.peerId!;
    this.#context.post({ type: 'connected', torrent: this.key, peer, host, port, incoming, encrypted, peerId });
  }

  onClosed(connection: Connection, reason: DisconnectReason): void {
    this.#connections.delete(connection);
    this.#turns.onClosed(connection);
    this.#context.downloadTurns.leave(connection);
    const { session, peer, host, port, incoming } = connection;
    if (session !== undefined) {
      const { uploaded } = session;
      const { downloaded } = session.downloads;
      this.#count(session.has, -1, session.isSeed);
      if (this.#removed === undefined) this.#onChokeChange();
      this.#context.post({ type: 'disconnected', torrent: this.key, peer, reason, downloaded, uploaded });
      if (this.#removed === undefined) this.#fillAll();
    } else if (!incoming) {
      this.#context.post({ type: 'connectFailed', torrent: this.key, host, port, reason });
    }
  }

  grant(grants: readonly LeaseGrant[], now: number): void {
    const { gauge, desk } = this.#ready;
    gauge.onGrant(grants.length);
    desk.grant(grants, now);
    this.#fillAll();
    this.ask(now);
  }

  recall(number: number): void {
    const lease = this.#content?.desk.giveBack(number);
    // What its peers still owe will be thrown away; they need not send it.
    if (lease !== undefined) for (const session of this.#sessions()) session.downloads.cancelPiece(lease.piece);
  }

  /** Endgame: copies what is there of a lease. @returns the blocks it holds and who gave them; `undefined` when it is not held */
  copyLease(number: number, buffer: ArrayBuffer): { present: Uint8Array; givers: Uint32Array } | undefined {
    return this.#content?.desk.copy(number, buffer);
  }

  /** Pieces that are on disk: serve and announce them. Who has nothing else for us is told; with the last one, seeds go. */
  onHave(pieces: readonly PieceIndex[]): void {
    const { have, needs } = this.#ready;
    for (const piece of pieces) {
      have.set(piece);
      needs.clear(piece);
    }
    const encoded = encodeHaves(pieces);
    for (const connection of [...this.#connections]) {
      const { session } = connection;
      if (session === undefined) continue;
      session.sendHaves(pieces, encoded);
      // Where there was no interest, fewer needs bring none.
      if (session.amInterested) session.updateInterest();
      if (needs.count > 0) continue;
      if (session.isUploadOnly) connection.close('both-seeds');
      // That a seed wants nothing is known.
      else if (!have.isFull) session.extensions?.onUploadOnly();
    }
  }

  /** Main has split the torrent's upload slots anew. */
  onSlots(slots: number): void {
    this.#choking.slots = slots;
    if (this.isReady) this.#onChokeChange();
  }

  /** The peers of all groups, to be told of. */
  onRoster(peers: readonly PexPeer[]): void {
    this.#survey.onRoster(peers);
  }

  /** Whether main may drop a peer to make room for another. */
  isInUse({ session }: Connection): boolean {
    return session !== undefined && this.#survey.isInUse(session, this.needs.count === 0, this.#context.now());
  }

  onPeerPieces(session: PeerSession, before: Bitfield): void {
    if (!before.isFull && !session.isSeed) return this.#count(session.has.without(before), 1, false);
    this.#count(before, -1, before.isFull);
    this.#count(session.has, 1, session.isSeed);
  }

  onPeerPiece(session: PeerSession, piece: PieceIndex): void {
    const { section } = this.#ready;
    section.availability[piece]!++;
    section.touch();
    if (!session.isSeed) return;
    // It has become a seed: from the counts of its pieces to the count of seeds.
    this.#count(session.has, -1, false);
    this.#count(session.has, 1, true);
  }

  onPeerLostPiece(piece: PieceIndex): void {
    const { section } = this.#ready;
    section.availability[piece]!--;
    section.touch();
  }

  onSuggested(piece: PieceIndex): void {
    this.#context.post({ type: 'suggested', torrent: this.key, piece });
  }

  onPeerInterest(session: PeerSession): void {
    // What it asked for before is not wanted any more.
    if (!session.peerInterested) session.uploads.choke();
    this.#onChokeChange();
  }

  extendedHandshakeFor(host: string): OurHandshake {
    const { needs, metadataSize, private: isPrivate } = this.#ready;
    return {
      client: this.#context.client,
      reqq: this.#context.options.uploadQueue,
      port: this.port,
      yourIp: host,
      uploadOnly: needs.count === 0,
      metadataSize,
      pex: !isPrivate,
    };
  }

  fastSetFor(host: string): readonly number[] {
    const { have, geometry } = this.#ready;
    const gives = have.count > 0 && this.#context.options.uploadSlots > 0;
    return gives ? fastSet(this.infohash, host, geometry.pieceCount) : [];
  }

  onDiscovered({ peer }: PeerSession, peers: readonly PeerAddress[]): void {
    this.#context.post({ type: 'discovered', torrent: this.key, peer, peers });
  }

  onListenPort({ peer }: PeerSession, port: number): void {
    this.#context.post({ type: 'listens', torrent: this.key, peer, port });
  }

  onSeenAs({ peer }: PeerSession, host: string): void {
    this.#context.post({ type: 'seenAs', torrent: this.key, peer, host });
  }

  onBlock(lease: PieceBuffer, bytes: number): void {
    this.#tally.downloaded += bytes;
    if (lease.isComplete) this.#ready.desk.hash(lease);
  }

  onWaste(bytes: number): void {
    this.#tally.wasted += bytes;
  }

  takeRequests(blocks: number, now: number): number {
    return this.down.takeBlocks(blocks, now);
  }

  returnRequests(blocks: number, now: number): void {
    this.down.giveBack(blocks * BLOCK_LENGTH, now);
  }

  onContested(winner: number, piece: PieceIndex, block: number): void {
    for (const session of this.#sessions()) if (session.peer !== winner) session.downloads.cancelBlock(piece, block);
  }

  /** After the bytes of one read: one write for all new requests. */
  afterRead(connection: Connection, now: number): void {
    const { session } = connection;
    if (session === undefined) return;
    if (session.isUploadOnly && this.needs.count === 0) return connection.close('both-seeds');
    this.fill(connection, now);
  }

  /** Asks a peer for blocks, and main for more where there are too few. */
  fill(connection: Connection, now: number): void {
    this.#request(connection, now);
    this.ask(now, (connection.session?.downloads.shortage ?? 0) > 0);
  }

  /** Who is held back by a rate limit is asked when its turn comes. */
  #request(connection: Connection, now: number): void {
    const { session } = connection;
    const { downloadTurns } = this.#context;
    if (session === undefined || downloadTurns.has(connection)) return;
    session.fill(now);
    if (session.downloads.isHeldBack) downloadTurns.wait(connection);
  }

  serve(connection: Connection): void {
    const { session } = connection;
    if (session !== undefined) this.#ready.uploader.pump(session, connection);
  }

  /** Asks main for more when work runs out, which `short` says of the peer just read from. */
  ask(now: number, short = true): void {
    if (this.#content === undefined || this.#removed !== undefined) return;
    const want = this.#content.gauge.measure(this.#sessions(), this.leases, short, this.#tally.downloaded, now);
    if (want !== undefined) this.#context.post({ type: 'want', torrent: this.key, ...want });
  }

  onTick(now: number): void {
    for (const connection of [...this.#connections]) connection.onTick(now);
    // Of thousands of torrents most have nobody.
    const isDeserted = this.#connections.size + this.leases.size === 0 && !this.down.isLimited;
    if (!this.isReady || isDeserted) return;
    this.#ready.desk.giveBackIdle((lease) => this.#canProgress(lease), now);
    this.#survey.onTick(this.#connections, this.needs.count === 0, this.#ready.private, now);
    this.#choking.onTick([...this.#sessions()], this.needs.count === 0, now);
    this.#fillAll();
    if (this.#context.up.isLimited) this.#turns.serve(this.#connections);
    const isEndgame = this.#ready.gauge.isStarved(now) && !this.#ready.memory.isSpent;
    this.#endgame.onTick(this.#connections, isEndgame, (heir) => this.#request(heir, now), now);
    this.ask(now);
    this.#reportLoad(now);
  }

  /** How the torrent's own limit is used. */
  #reportLoad(now: number): void {
    if (!this.down.isLimited) return;
    const { giving } = this;
    if (!this.down.isLoadDue(giving, now)) return;
    this.#context.post({ type: 'torrentLoad', torrent: this.key, down: this.down.load(giving, now) });
  }

  /** What happened since the last call; `undefined` when nothing did. */
  stats(): TorrentStats | undefined {
    const stats = this.#tally.take(this.#sessions());
    if (stats === undefined) return undefined;
    this.#content?.gauge.onReset(stats.downloaded);
    return { torrent: this.key, ...stats };
  }

  /** Closes everything and gives every buffer back; `removed` follows the last one. */
  remove(reason: DisconnectReason): void {
    this.#removed = reason;
    for (const connection of [...this.#connections]) connection.close(reason);
    this.#content?.desk.giveBackAll();
    this.#content?.uploader.close();
    this.down.leave();
    this.#finishRemoval();
  }

  /** Between the regular ones: whoever gets a last piece knows what was fetched for it. */
  #reportStats(): void {
    const stats = this.stats();
    if (stats !== undefined) this.#context.post({ type: 'stats', torrents: [stats] });
  }

  #finishRemoval(): void {
    if (this.#removed === undefined || this.#content?.desk.isHashing === true) return;
    this.#content?.desk.flush();
    this.#reportStats();
    this.#context.post({ type: 'removed', torrent: this.key });
  }

  #onChokeChange(): void {
    this.#choking.onChange([...this.#sessions()], this.needs.count === 0, this.#context.now());
  }

  *#sessions(): IterableIterator<PeerSession> {
    for (const { session } of this.#connections) if (session !== undefined) yield session;
  }

  /** New work, or blocks given up elsewhere: every peer with room may take some, snubbed ones what the others leave. */
  #fillAll(): void {
    if (this.#content === undefined) return;
    const now = this.#context.now();
    for (const snubbed of [false, true]) {
      for (const connection of this.#connections) {
        if (this.leases.missingBlocks === 0) return;
        if (connection.session?.downloads.pipeline.snubbed === snubbed) this.#request(connection, now);
      }
    }
  }

  #canProgress(lease: PieceBuffer): boolean {
    for (const session of this.#sessions()) {
      if (session.askable?.has(lease.piece) && lease.admits(session.peer)) return true;
    }
    return false;
  }

  /** Adds a peer's pieces to the group's availability, or takes them out. */
  #count(has: Iterable<number>, by: 1 | -1, isSeed: boolean): void {
    const { section } = this.#ready;
    if (isSeed) {
      section.seeds += by;
      return;
    }
    for (const piece of has) section.availability[piece]! += by;
    section.touch();
  }

  #onSent(session: PeerSession, bytes: number): void {
    session.uploaded += bytes;
    this.#tally.onSent(session.peer, bytes);
  }
}
