/** The flags that commands share: how they are declared, read and turned into settings of a session. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { messageOf, SpateError } from '../errors.js';
import { type Options, resolveOptions } from '../options.js';
import { canonicalIp, type HostPort, parseHostPort } from '../protocol/address.js';
import { compileGlob } from '../protocol/glob.js';
import type { EncryptionMode } from '../protocol/mse.js';
import { FOR_EVER, type SeedGoal } from '../seed-goal.js';
import type { CheckMode, FileSelection, SessionSettings } from '../session.js';
import { type FileRanges, parseFileRanges } from '../storage/selection.js';
import { parseDuration, parseRateLimit, parseSizeLimit } from '../units.js';
import type { ColorChoice } from './output.js';
import { stateFolder } from './xdg.js';

export interface OutputFlags {
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly json?: boolean;
  readonly color: ColorChoice;
}

export interface NetworkFlags extends OutputFlags {
  readonly peer?: readonly HostPort[];
  readonly tracker?: readonly string[];
  readonly check?: CheckMode;
  readonly workers?: number;
  /** Connections per torrent, and in all. */
  readonly peers?: number;
  readonly maxPeers?: number;
  readonly port?: number;
  readonly bind?: string;
  /** Bytes. */
  readonly memory?: number;
  /** `false` leaves the gateway alone. */
  readonly nat?: boolean;
  readonly encryption?: EncryptionMode;
  /** Bytes per second, 0 for no limit. */
  readonly maxDown?: number;
  readonly maxUp?: number;
  /** `false` gives nothing to anybody. */
  readonly upload?: boolean;
  /** Milliseconds; 0 waits for ever. */
  readonly peerTimeout?: number;
  /** Milliseconds; 0 waits for ever. */
  readonly stallTimeout?: number;
}

/** A choice of files. */
export interface SelectFlags {
  readonly select?: FileRanges;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
}

export interface SeedGoalFlags {
  /** Milliseconds. */
  readonly seedTime?: number;
  readonly seedRatio?: number;
}

export interface AllocFlag {
  readonly alloc: 'sparse' | 'full';
}

export interface DeadlineFlag {
  /** Milliseconds, 0 for none. */
  readonly deadline: number;
}

/** A timer waits no longer. */
const MAX_WAIT_MS = 2 ** 31 - 1;
/** What `--memory none` stands for: more than any machine has. */
const UNLIMITED_BYTES = 2 ** 40;
const MAX_WORKERS = 64;

export function addTorrentArgument(command: Command): Command {
  return command.argument('<torrent>', 'path of a .torrent file, or - for stdin');
}

/** A torrent, and where its payload is. */
export function addDataArguments(command: Command): Command {
  return addTorrentArgument(command).argument('[dir]', 'folder that holds the torrent’s file or folder', '.');
}

export function addOutputFlags(command: Command): Command {
  return command
    .option('--json', 'print one JSON object on stdout')
    .option('-q, --quiet', 'print errors only')
    .option('-v, --verbose', 'print details, and the stack of errors')
    .addOption(colorOption());
}

export function colorOption(): Option {
  return new Option('--color <when>', 'use colour').choices(['auto', 'always', 'never']).default('auto');
}

export function addNetworkFlags(command: Command): Command {
  return command
    .option('--peer <host:port>', 'connect to this peer; repeatable', checked(collected(parseHostPort)))
    .option('--tracker <url>', 'announce to this tracker too; repeatable', checked(collected(parseTracker)))
    .option('--port <n>', 'listen on this TCP port (default: a free one)', checked(parseInteger(0, 65_535)))
    .option('--bind <addr>', 'listen on and connect from this IP address (default: all)', checked(parseIp))
    .option('--no-nat', 'do not ask the gateway to forward the port; it never is on loopback')
    .option('--max-down <rate>', 'receive at most this per second, such as 10MiB or 50Mbit', checked(parseRateLimit))
    .option('--max-up <rate>', 'send at most this per second', checked(parseRateLimit))
    .option('--no-upload', 'give nothing to other peers')
    .addOption(
      new Option(
        '--encryption <mode>',
        'prefer: encrypt when plaintext is refused; require: always; off: never (default: prefer)',
      ).choices(['prefer', 'require', 'off']),
    )
    .option(
      '--peers <n>',
      'peers to connect to per torrent; as many may come in (default: 80)',
      checked(parseCount('peersPerTorrent')),
    )
    .option(
      '--max-peers <n>',
      'peers in all (default: 2000, or 60% of the open-file limit)',
      checked(parseCount('maxPeers')),
    )
    .addOption(
      new Option(
        '--check <how>',
        'auto: hash what has changed since it was verified; full: hash all; none: hash nothing (default: auto)',
      ).choices(['auto', 'full', 'none']),
    )
    .option('--workers <n>', 'worker threads (default: one per core)', checked(parseInteger(1, MAX_WORKERS)))
    .option('--memory <size>', 'cap of buffered payload (default: 256MiB)', checked(parseMemory));
}

export function addSelectFlags(command: Command): Command {
  return command
    .option('-f, --select <files>', 'only these, by their numbers in `spate info`: 1,3-5 or 7-', checked(addRanges))
    .option('--include <glob>', 'only files that match; repeatable', checked(collected(parseGlob)))
    .option('--exclude <glob>', 'no files that match; repeatable', checked(collected(parseGlob)));
}

/** The files that the flags choose; `undefined` for all. */
export function selectionOf({ select, include, exclude }: SelectFlags): FileSelection | undefined {
  if (select === undefined && include === undefined && exclude === undefined) return undefined;
  return {
    ...(select !== undefined && { ranges: select }),
    ...(include !== undefined && { include }),
    ...(exclude !== undefined && { exclude }),
  };
}

export function addPatienceFlags(command: Command): Command {
  return command
    .option(
      '--peer-timeout <time>',
      'give up when no peer is reached for so long (default: 60s, 0 waits)',
      checked(parseTimeout('peerTimeoutMs')),
    )
    .option(
      '--stall-timeout <time>',
      'give up when no byte comes for so long (default: 5m, 0 waits)',
      checked(parseTimeout('stallTimeoutMs')),
    );
}

export function addSeedGoalFlags(command: Command): Command {
  return command
    .option('--seed-time <time>', 'seed what is done for so long', checked(parseWait))
    .option(
      '--seed-ratio <ratio>',
      'seed until so many times its size is sent; the first limit counts',
      checked(parseRatio),
    );
}

/** `undefined` when the flags set no goal. */
export function seedGoalOf({ seedTime, seedRatio }: SeedGoalFlags): SeedGoal | undefined {
  if (seedTime === undefined && seedRatio === undefined) return undefined;
  return { ms: seedTime ?? FOR_EVER.ms, ratio: seedRatio ?? FOR_EVER.ratio };
}

export function allocOption(): Option {
  return new Option('--alloc <how>', 'sparse: take room on disk as bytes come; full: all of it before the first')
    .choices(['sparse', 'full'])
    .default('sparse');
}

export function deadlineOption(): Option {
  return new Option('--deadline <time>', 'give everything up after so long')
    .argParser(checked(parseWait))
    .default(0, 'none');
}

/** The session that the flags ask for. */
export function sessionSettings(flags: NetworkFlags): SessionSettings {
  const { workers, port, bind, nat, encryption, maxDown, maxUp, upload, memory, peerTimeout, stallTimeout } = flags;
  const { peers, maxPeers } = flags;
  return {
    stateFolder: stateFolder(),
    ...(workers !== undefined && { workers }),
    ...(port !== undefined && { port }),
    ...(bind !== undefined && { bind }),
    nat: nat !== false,
    ...(encryption !== undefined && { encryption }),
    ...(maxDown !== undefined && { maxDown: finite(maxDown) }),
    ...(maxUp !== undefined && { maxUp: finite(maxUp) }),
    options: {
      ...(memory !== undefined && { memoryBytes: memory }),
      ...(peers !== undefined && { peersPerTorrent: peers }),
      ...(maxPeers !== undefined && { maxPeers }),
      ...(upload === false && { uploadSlots: 0 }),
      ...(peerTimeout !== undefined && { peerTimeoutMs: peerTimeout }),
      ...(stallTimeout !== undefined && { stallTimeoutMs: stallTimeout }),
    },
  };
}

/** `none` as sessions say it. */
const finite = (limit: number): number => (Number.isFinite(limit) ? limit : 0);

/** For commander, which names the flag in front of the message. */
export function checked<T>(parse: (text: string, previous: T | undefined) => T) {
  return (text: string, previous: T | undefined): T => {
    try {
      return parse(text, previous);
    } catch (error) {
      if (error instanceof SpateError || error instanceof RangeError) throw new InvalidArgumentError(messageOf(error));
      throw error;
    }
  };
}

export function collected<T>(
  parse: (text: string) => T,
): (text: string, previous: readonly T[] | undefined) => readonly T[] {
  return (text, previous = []) => [...previous, parse(text)];
}

export function parseInteger(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new SpateError('USAGE', `expected a number from ${min} to ${max}`);
  };
}

export function parseWait(text: string): number {
  const ms = parseDuration(text);
  if (ms <= MAX_WAIT_MS) return ms;
  throw new SpateError('USAGE', `expected at most ${Math.floor(MAX_WAIT_MS / 86_400_000)} days`);
}

function parseRatio(text: string): number {
  const ratio = /^\d{1,6}(?:\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (ratio >= 0) return ratio;
  throw new SpateError('USAGE', 'expected a ratio such as 1.5');
}

/** Given again it adds. */
function addRanges(text: string, previous: FileRanges = []): FileRanges {
  return [...previous, ...parseFileRanges(text)];
}

function parseGlob(text: string): string {
  compileGlob(text);
  return text;
}

function parseIp(text: string): string {
  const host = canonicalIp(text);
  if (host === undefined) throw new SpateError('USAGE', 'expected an IP address of this machine');
  return host;
}

function parseTracker(text: string): string {
  if (/^(?:https?|udp):\/\/[^\s\p{C}]+$/iu.test(text) && URL.canParse(text)) return text;
  throw new SpateError('USAGE', 'expected an http, https or udp URL');
}

function parseMemory(text: string): number {
  return inRange('memoryBytes', Math.min(parseSizeLimit(text), UNLIMITED_BYTES));
}

function parseTimeout(option: keyof Options): (text: string) => number {
  return (text) => inRange(option, parseDuration(text));
}

function parseCount(option: keyof Options): (text: string) => number {
  return (text) => inRange(option, /^\d+$/.test(text) ? Number(text) : Number.NaN);
}

/** @throws RangeError naming the range */
function inRange(option: keyof Options, value: number): number {
  return resolveOptions({ [option]: value })[option];
}
