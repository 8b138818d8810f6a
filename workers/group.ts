/**
 * A peer group: the sockets of any number of torrents on one thread, driven by messages on a port. It takes a port, not a
 * thread: tests and profilers run it beside main over a `MessageChannel`.
 *
 * It never writes payload to disk, never chooses a piece and never talks to a tracker.
 */
import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type DisconnectReason, type FromGroup, type GroupStart, post, type ToGroup } from '../src/messages.js';
import type { Options } from '../src/options.js';
import { canonicalIp } from '../src/protocol/address.js';
import { type EncryptionMode, skeyHash } from '../src/protocol/mse.js';
import { OpenFiles } from '../src/storage/open-files.js';
import { Connection } from './connection.js';
import type { GroupContext } from './context.js';
import { DownloadTurns } from './download-turns.js';
import { GroupTorrent } from './group-torrent.js';
import { Limit } from './limits.js';
import { Probe } from './probe.js';

/** Bytes read from a socket at once; all sockets of the thread share the buffer. */
const SCRATCH_BYTES = 64 * 1024;

/** A handshake comes with the connection, or a round trip later; who is slower is let be while there is room. */
const STRANGER_MS = 1_000;

/** Runs until main says `stop` or closes the port. */
export function runGroup(start: Omit<GroupStart, 'port'> & { readonly port: MessagePort }): Promise<void> {
  return new Promise((resolve) => {
    const group = new Group(start, resolve);
    start.port.on('message', (message: ToGroup) => group.onMessage(message));
    start.port.on('close', () => group.stop());
  });
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');

/** What a peer may call a torrent. */
const namesOf = ({ infohash }: GroupTorrent): readonly string[] => [hex(infohash), hex(skeyHash(infohash))];

class Group implements GroupContext {
  readonly options: Options;
  readonly client: string;
  readonly group: number;
  readonly encryption: EncryptionMode;
  readonly down = new Limit();
  readonly up = new Limit();
  readonly downloadTurns = new DownloadTurns(() => this.now());
  readonly openFiles: OpenFiles;
  readonly #port: MessagePort;
  readonly #onStopped: () => void;
  readonly #torrents = new Map<number, GroupTorrent>();
  /** By infohash and by `skeyHash`. */
  readonly #byName = new Map<string, GroupTorrent>();
  /** Incoming connections that have not named a torrent of ours yet. */
  readonly #strangers = new Set<Connection>();
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  readonly #bind: string | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #probe: Probe | undefined;
  #server: Server | undefined;
  #peers = 0;
  #drainAt = 0;
  #stopped = false;

  constructor(start: Omit<GroupStart, 'port'> & { readonly port: MessagePort }, onStopped: () => void) {
    this.options = start.options;
    this.client = start.client;
    this.group = start.group;
    this.encryption = start.encryption ?? 'prefer';
    this.openFiles = new OpenFiles(start.options.openFiles);
    this.#bind = start.bind;
    this.#probe = start.measure === true ? new Probe() : undefined;
    this.#port = start.port;
    this.#onStopped = onStopped;
    this.#timer = setInterval(() => this.#onTick(), this.options.tickMs);
  }

  now(): number {
    return performance.now();
  }

  random(): number {
    return Math.random();
  }

  nextPeer(): number {
    return ++this.#peers;
  }

  post(message: FromGroup): void {
    if (this.#stopped) return;
    this.#probe?.onMessage();
    post(this.#port, message);
  }

  torrentOf(name: Uint8Array): GroupTorrent | undefined {
    return this.#byName.get(hex(name));
  }

  onMessage(message: ToGroup): void {
    const now = this.now();
    this.#probe?.onMessage();
    this.#drainAt = now + this.options.doorbellMs;
    switch (message.type) {
      case 'batch':
        for (const each of message.messages) this.onMessage(each);
        return;
      case 'listen':
        return this.#listen(message.port);
      case 'addTorrent':
        return this.#add(new GroupTorrent(this, message));
      case 'metainfo':
        this.#torrents.get(message.torrent)?.onMetainfo(message);
        return this.#unpark();
      case 'removeTorrent':
        return this.#remove(message.torrent, message.reason);
      case 'connect':
        return this.#dial(message);
      case 'drop':
        return this.#drop(message.peers, message.reason);
      case 'lease':
        return this.#torrents.get(message.torrent)?.grant(message.leases, now);
      case 'share':
        return this.#share(message);
      case 'recall':
        return this.#torrents.get(message.torrent)?.recall(message.lease);
      case 'have':
        return this.#torrents.get(message.torrent)?.onHave(message.pieces);
      case 'slots':
        return this.#torrents.get(message.torrent)?.onSlots(message.slots);
      case 'roster':
        return this.#torrents.get(message.torrent)?.onRoster(message.peers);
      case 'refuse':
        return this.#refuse(hex(message.infohash));
      case 'torrentLimit':
        return this.#torrents.get(message.torrent)?.down.set(message.down, now);
      case 'limits':
        this.down.set(message.down, now);
        return this.up.set(message.up, now);
      case 'measure':
        if (this.#probe !== undefined) this.post({ type: 'measured', figures: this.#probe.figures() });
        return;
      case 'stop':
        return this.stop();
    }
  }

  /** At the end of a read: a saturated loop serves sockets first and would see the port late. */
  afterRead(now: number): void {
    if (now < this.#drainAt) return;
    this.#drainAt = now + this.options.doorbellMs;
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: ToGroup } | undefined;
      if (received === undefined || this.#stopped) return;
      this.onMessage(received.message);
    }
  }

  onNamed(connection: Connection): void {
    this.#strangers.delete(connection);
  }

  onParked(connection: Connection, name: Uint8Array): void {
    this.#strangers.add(connection);
    this.post({ type: 'incoming', infohash: name });
  }

  onClosed(connection: Connection, reason: DisconnectReason): void {
    this.#strangers.delete(connection);
    connection.torrent?.onClosed(connection, reason);
  }

  stop(): void {
    if (this.#stopped) return;
    for (const connection of [...this.#strangers]) connection.close('stopped');
    for (const torrent of this.#torrents.values()) torrent.remove('stopped');
    this.#stopped = true;
    clearInterval(this.#timer);
    this.downloadTurns.stop();
    this.#probe?.stop();
    this.#server?.close();
    this.#port.close();
    this.#onStopped();
  }

  #add(torrent: GroupTorrent): void {
    this.#torrents.set(torrent.key, torrent);
    for (const name of namesOf(torrent)) this.#byName.set(name, torrent);
  }

  #share(message: Extract<ToGroup, { type: 'share' }>): void {
    const { torrent, lease, buffer } = message;
    const copied = this.#torrents.get(torrent)?.copyLease(lease, buffer);
    this.post({ type: 'shared', torrent, lease, buffer, ...copied });
  }

  #remove(key: number, reason: DisconnectReason): void {
    const torrent = this.#torrents.get(key);
    if (torrent === undefined) return this.post({ type: 'removed', torrent: key });
    this.#torrents.delete(key);
    for (const name of namesOf(torrent)) this.#byName.delete(name);
    torrent.remove(reason);
  }

  #dial({ torrent: key, host, port, encrypted }: Extract<ToGroup, { type: 'connect' }>): void {
    const torrent = this.#torrents.get(key);
    if (torrent === undefined) return;
    const connection = new Connection(this, torrent, host, port, encrypted);
    torrent.add(connection);
    let heard: ReturnType<Probe['tap']> | undefined;
    const onread = {
      buffer: this.#scratch,
      callback: (length: number, bytes: Uint8Array): boolean => {
        heard?.(bytes, 0, length);
        connection.onBytes(bytes, 0, length);
        return true;
      },
    };
    const bound = this.#bind === undefined ? {} : { localAddress: this.#bind };
    const socket = netConnect({ host, port, onread, ...bound });
    heard = this.#probe?.tap(socket);
    connection.attach(socket);
  }

  /** Without `--bind` on `::`, which takes IPv4 as well (`ipv6Only` is off); on 0.0.0.0 where the system has no IPv6. */
  #listen(port: number, host = this.#bind ?? '::'): void {
    const server = createServer((socket) => this.#accept(socket));
    // A newcomer to a full session may take a place there: main decides that.
    server.maxConnections = this.options.maxPeers + this.options.strangers;
    server.once('error', (error: NodeJS.ErrnoException) => {
      const noIpv6 = error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL';
      if (noIpv6 && this.#bind === undefined && host === '::' && !this.#stopped) return this.#listen(port, '0.0.0.0');
      this.post({ type: 'listenFailed', message: error.message });
    });
    server.listen({ port, host }, () => {
      const address = server.address();
      if (address !== null && typeof address === 'object') this.post({ type: 'listening', port: address.port });
    });
    this.#server = server;
  }

  #accept(socket: Socket): void {
    const remoteAddress = canonicalIp(socket.remoteAddress ?? '');
    const { remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined || this.#stopped) {
      socket.destroy();
      return;
    }
    if (this.#strangers.size >= this.options.strangers && !this.#dismissStranger()) {
      socket.destroy();
      return;
    }
    const connection = new Connection(this, undefined, remoteAddress, remotePort);
    this.#strangers.add(connection);
    connection.attach(socket);
  }

  /** Who says nothing must not keep the next ones out. @returns whether the one that came first has been here too long */
  #dismissStranger(): boolean {
    const [first] = this.#strangers;
    if (first === undefined || this.now() - first.connectedAt < STRANGER_MS) return false;
    first.close('full');
    return true;
  }

  /** Connections that waited for a torrent may find it now. */
  #unpark(): void {
    for (const connection of [...this.#strangers]) {
      if (connection.parkedFor !== undefined && this.torrentOf(connection.parkedFor)?.isReady) connection.unpark();
    }
  }

  #refuse(name: string): void {
    for (const connection of [...this.#strangers]) {
      if (connection.parkedFor !== undefined && hex(connection.parkedFor) === name) connection.close('refused-torrent');
    }
  }

  #drop(peers: readonly number[], reason: DisconnectReason): void {
    const doomed = new Set(peers);
    for (const torrent of this.#torrents.values()) {
      for (const connection of [...torrent.connections]) {
        if (!doomed.has(connection.peer) || (reason === 'useless' && torrent.isInUse(connection))) continue;
        connection.close(reason);
      }
    }
  }

  #reportLoad(now: number): void {
    if (!(this.down.isLimited || this.up.isLimited)) return;
    let [giving, taking] = [0, 0];
    for (const torrent of this.#torrents.values()) {
      giving += torrent.giving;
      for (const { session } of torrent.connections) if (session?.uploads.amChoking === false) taking++;
    }
    if (!this.down.isLoadDue(giving, now) && !this.up.isLoadDue(taking, now)) return;
    this.post({ type: 'load', down: this.down.load(giving, now), up: this.up.load(taking, now) });
  }

  #onTick(): void {
    const now = this.now();
    for (const connection of [...this.#strangers]) connection.onTick(now);
    const stats = [];
    for (const torrent of this.#torrents.values()) {
      torrent.onTick(now);
      const changed = torrent.stats();
      if (changed !== undefined) stats.push(changed);
    }
    if (stats.length > 0) this.post({ type: 'stats', torrents: stats });
    this.#reportLoad(now);
  }
}
