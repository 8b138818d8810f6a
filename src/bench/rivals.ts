/**
 * The clients that ours is raced against: how each is found, started, and known to be done. All of them as they come, but for what a
 * swarm on loopback takes: no DHT, no local discovery, no port mapping, TCP, plaintext, nothing left of an earlier run.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf, SpateError } from '../errors.js';
import { BUILT } from '../package.js';
import type { PeerAddress } from '../protocol/address.js';
import { fillIn, joinWords, splitWords } from './command-words.js';
import { type Daemon, qbittorrentDaemon, transmissionDaemon } from './daemon-rivals.js';
import { buildNative } from './native.js';

/** What a client is to do in one run. */
export interface Course {
  /** Path of the `.torrent`. */
  readonly torrent: string;
  /** Folder to download into: empty. */
  readonly out: string;
  /** Folder of the client's own, for its settings and its log: empty. */
  readonly home: string;
  /** Path of the payload that is seeded, and the name and bytes of its one file. */
  readonly payload: string;
  readonly name: string;
  readonly size: number;
  readonly pieceLength: number;
  /** Hexadecimal. */
  readonly infohash: string;
  readonly seeds: readonly PeerAddress[];
  /** Connects the seeds to a client that listens; absent where they cannot. */
  readonly dial?: ((client: PeerAddress) => void) | undefined;
}

export interface Rival {
  readonly name: string;
  /** Words, with what `placeholders` gives in braces. Done when it ends with exit code 0, unless there is a `daemon`. */
  readonly command: readonly string[];
  /** How it is written in reports, where that is shorter. */
  readonly shown?: string;
  readonly daemon?: Daemon;
}

export type Detection = { readonly rival: Rival; readonly version: string } | { readonly missing: string };

/** What may be written in braces in a command. */
export function placeholders(course: Course): Record<string, string | number> {
  const { torrent, out, home, payload, name, size, pieceLength, infohash, seeds } = course;
  const ports = seeds.map(({ port }) => port);
  return {
    torrent,
    out,
    home,
    payload,
    name,
    size,
    piece: pieceLength,
    infohash,
    port: ports[0]!,
    ports: ports.join(),
  };
}

export function shownCommand({ shown, command }: Rival): string {
  return shown ?? joinWords(command);
}

/** Ours. */
export function spate(): Rival {
  const cli = fileURLToPath(BUILT.cli);
  const flags = ['get', '{torrent}', '-o', '{out}', '--bind', '127.0.0.1', '-q'];
  return { name: 'spate', command: [process.execPath, cli, ...flags], shown: joinWords(['spate', ...flags]) };
}

const ARIA2: Rival = {
  name: 'aria2c',
  command: [
    ...['aria2c', '--no-conf', '--dir={out}', '--seed-time=0', '--file-allocation=none', '--interface=127.0.0.1'],
    ...['--disable-ipv6=true', '--listen-port=20000-29999', '--enable-dht=false', '--bt-enable-lpd=false'],
    ...['--enable-peer-exchange=false', '--show-console-readout=false', '--summary-interval=0', '{torrent}'],
  ],
};

const LIBTORRENT_SCRIPT = `
import sys, libtorrent as lt
torrent, folder = sys.argv[1:]
kinds = lt.alert.category_t
session = lt.session({
    "listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
    "enable_natpmp": False, "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True, "max_out_request_queue": 1500,
    "out_enc_policy": int(lt.enc_policy.disabled), "in_enc_policy": int(lt.enc_policy.disabled),
    "alert_mask": kinds.error_notification | kinds.status_notification,
})
handle = session.add_torrent({"ti": lt.torrent_info(torrent), "save_path": folder})
while not handle.status().is_seeding:
    session.wait_for_alert(200)
    for alert in session.pop_alerts():
        if isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert, lt.listen_failed_alert)):
            raise SystemExit(alert.message())
handle.flush_cache()
`;

function libtorrent(python: string): Rival {
  return {
    name: 'libtorrent',
    command: [python, '-c', LIBTORRENT_SCRIPT, '{torrent}', '{out}'],
    shown: `${python} (a session of libtorrent's Python binding) {torrent} {out}`,
  };
}

const TRANSMISSION: Rival = {
  name: 'transmission',
  command: ['transmission-daemon', '-f', '-g', '{home}/transmission'],
  daemon: transmissionDaemon,
};

const QBITTORRENT: Rival = {
  name: 'qbittorrent-nox',
  command: ['qbittorrent-nox', '--profile={home}', '--webui-port={webPort}'],
  daemon: qbittorrentDaemon,
};

/** What detects the rivals that can be named, by name. @param folder takes what is built for it */
export const RIVALS: Readonly<Record<string, (folder: string, signal?: AbortSignal) => Promise<Detection>>> = {
  aria2c: () => installed(ARIA2, ['aria2c', '--version']),
  async libtorrent() {
    // A Python of one's own often comes first, and has no such module.
    const pythons = ['python3', '/usr/bin/python3'];
    const ask = ['-c', 'import libtorrent; print("libtorrent", libtorrent.__version__)'];
    const found = await Promise.all(pythons.map((python) => installed(libtorrent(python), [python, ...ask])));
    return found.find((each) => 'rival' in each) ?? { missing: 'the Python module libtorrent is not installed' };
  },
  transmission: () => installed(TRANSMISSION, ['transmission-daemon', '--version']),
  'qbittorrent-nox': () => installed(QBITTORRENT, ['qbittorrent-nox', '--version']),
  async floor(folder, signal) {
    const built = await buildNative('cfloor', folder, signal);
    if ('missing' in built) return built;
    const words = ['{port}', '{infohash}', '{out}/{name}', '{piece}', '{size}'];
    const rival = { name: 'floor', command: [built.path, ...words], shown: joinWords(['cfloor', ...words]) };
    return { rival, version: 'a C loop that receives, hashes and writes' };
  },
};

const VERSION_WAIT_MS = 20_000;
const MAX_VERSION = 80;

/** Whether a command says its version, and what it says. */
async function installed(rival: Rival, [program, ...args]: readonly string[]): Promise<Detection> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program!, args, { timeout: VERSION_WAIT_MS });
    const line = `${stdout}\n${stderr}`.split('\n').find((each) => each.trim() !== '') ?? 'unknown version';
    return { rival, version: line.trim().slice(0, MAX_VERSION) };
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return { missing: isAbsent ? 'not installed' : `\`${program} ${args[0]}\` failed: ${messageOf(error)}` };
  }
}

/** Names a rival may have: they are columns of tables and names of folders. */
const NAME = /^[\w.+-]{1,40}$/;

/**
 * A client that is not known here, as `NAME=COMMAND`.
 * @throws SpateError USAGE
 */
export function parseCommand(text: string): Rival {
  const at = text.indexOf('=');
  const name = text.slice(0, Math.max(at, 0));
  const command = splitWords(text.slice(at + 1));
  if (!NAME.test(name) || command.length === 0) {
    throw new SpateError('USAGE', `expected NAME=COMMAND, such as 'copy=cp {payload} {out}', got "${text}"`);
  }
  fillIn(command, placeholders(NOWHERE));
  return { name, command };
}

const NOWHERE: Course = {
  ...{ torrent: '', out: '', home: '', payload: '', name: '', size: 0, pieceLength: 0, infohash: '' },
  seeds: [{ host: '127.0.0.1', port: 1 }],
};

/**
 * Names between commas, each once; `none` for none.
 * @throws SpateError USAGE for a name there is none of
 */
export function parseRivals(text: string): readonly string[] {
  if (text.trim() === 'none') return [];
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !Object.hasOwn(RIVALS, name));
  if (unknown === undefined) return [...new Set(names)];
  throw new SpateError('USAGE', `expected none or some of ${Object.keys(RIVALS).join(', ')}, got "${unknown}"`);
}
