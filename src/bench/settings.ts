/** What a bench is asked for, and the range of each value. Pure: texts are read by the command line. */
import { SpateError } from '../errors.js';

/** What one stage of a download does alone. */
export const STAGES = ['hash', 'disk', 'net', 'codec', 'picker'] as const;
export type Stage = (typeof STAGES)[number];

export const SCENARIOS = ['swarm', 'upload', 'dual', 'many', 'recheck', ...STAGES] as const;
export type Scenario = (typeof SCENARIOS)[number];

export interface BenchSettings {
  readonly scenario: Scenario;
  /** Bytes of payload. */
  readonly size: number;
  /** Piece length in bytes. */
  readonly piece: number;
  /** Files of the torrent; torrents in `many`. */
  readonly files: number;
  readonly seeders: number;
  /** Connections to each seeder. */
  readonly conns: number;
  /** Each is measured. */
  readonly workers: readonly number[];
  readonly rttMs: number;
  /** Of each seeder, 0 for no limit. */
  readonly seedBytesPerSecond: number;
  /** Part of the last seeder's blocks, 0 to 1. */
  readonly corrupt: number;
  /** Life of a connection, 0 for ever. */
  readonly churnMs: number;
  readonly storage: 'disk' | 'null';
  readonly runs: number;
  readonly warmup: number;
}

const KIB = 1024;
const MIB = KIB * KIB;

const RANGES: Readonly<Record<string, readonly [min: number, max: number, unit: string]>> = {
  size: [16 * KIB, 1024 * 1024 * MIB, 'bytes'],
  piece: [16 * KIB, 64 * MIB, 'bytes'],
  files: [1, 20_000, ''],
  seeders: [1, 64, ''],
  conns: [1, 500, ''],
  workers: [1, 64, ''],
  rtt: [0, 10_000, 'ms'],
  'seed-rate': [0, 2 ** 40, 'bytes/s'],
  corrupt: [0, 0.5, ''],
  churn: [0, 3_600_000, 'ms'],
  runs: [1, 100, ''],
  warmup: [0, 100, ''],
};

/** Most pieces of one torrent: more would be no bench of a download. */
const MAX_PIECES = 1_000_000;
const MAX_CONNECTIONS = 2_000;

export const isStage = (scenario: Scenario): scenario is Stage => STAGES.some((stage) => stage === scenario);

/** @throws SpateError USAGE naming the flag, its range and what was given */
export function checkSettings(settings: BenchSettings): BenchSettings {
  const { scenario, size, piece, files, seeders, conns, corrupt, storage } = settings;
  inRange('size', size);
  inRange('piece', piece);
  inRange('files', files);
  inRange('seeders', seeders);
  inRange('conns', conns);
  for (const workers of settings.workers) inRange('workers', workers);
  inRange('rtt', settings.rttMs, false);
  inRange('seed-rate', settings.seedBytesPerSecond, false);
  inRange('corrupt', corrupt, false);
  inRange('churn', settings.churnMs, false);
  inRange('runs', settings.runs);
  inRange('warmup', settings.warmup);
  if (piece % (16 * KIB) !== 0) refuse(`--piece must be a multiple of 16384 bytes, got ${piece}`);
  const pieces = Math.ceil(size / piece);
  if (pieces > MAX_PIECES) refuse(`--size and --piece must make at most ${MAX_PIECES} pieces, got ${pieces}`);
  if (files > size / (16 * KIB)) refuse(`--files must be at most one per 16384 bytes of --size, got ${files}`);
  if (seeders * conns > MAX_CONNECTIONS) {
    refuse(`--seeders times --conns must be at most ${MAX_CONNECTIONS}, got ${seeders * conns}`);
  }
  if (corrupt > 0 && seeders < 2) refuse('--corrupt needs --seeders of at least 2: one of them lies, got 1');
  if (storage === 'null' && (scenario === 'upload' || scenario === 'dual' || scenario === 'recheck')) {
    refuse(`--storage must be disk for ${scenario}: what is discarded cannot be read`);
  }
  return settings;
}

function inRange(flag: string, value: number, whole = true): void {
  const [min, max, unit] = RANGES[flag]!;
  if ((whole ? Number.isSafeInteger(value) : Number.isFinite(value)) && value >= min && value <= max) return;
  refuse(`--${flag} must be ${min} to ${max}${unit && ` ${unit}`}, got ${value}`);
}

function refuse(message: string): never {
  throw new SpateError('USAGE', message);
}
