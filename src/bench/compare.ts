/**
 * `spate bench compare`: races ours against other clients on one torrent from the same seeds on loopback. One client at a time, in
 * rounds whose order rotates, so that what the machine does meanwhile meets all alike. What was downloaded is compared with the
 * payload byte by byte, or the run is void. Makes all it needs and leaves nothing behind.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SpateError } from '../errors.js';
import { parseMetainfo } from '../protocol/metainfo.js';
import { type PayloadShape, payloadTorrent, writePayload } from '../swarm/payload.js';
import { requireRoom } from '../swarm/room.js';
import { startTracker } from '../swarm/tracker.js';
import { type Comparison, type Contender, type RunFigures, rotated, type VoidRun } from './comparison.js';
import { machineFacts } from './machine-facts.js';
import { buildNative } from './native.js';
import { inRaceFolder, storageKind } from './race-folder.js';
import { type Arena, runOnce } from './race-run.js';
import { type RaceSeeds, startCseeds, startSpateSeeds } from './race-seeds.js';
import { RIVALS, type Rival, shownCommand, spate } from './rivals.js';

/** The C seeder, `spate seed`, or the first of them that can be had. */
export type SeederChoice = 'auto' | 'native' | 'spate';

export interface CompareSettings {
  /** Known rivals by name; all that are installed when absent. */
  readonly rivals?: readonly string[] | undefined;
  readonly commands: readonly Rival[];
  /** Bytes. */
  readonly size: number;
  readonly pieceLength: number;
  /** Rounds that count, and those before them that do not. */
  readonly runs: number;
  readonly warmup: number;
  readonly seeds: number;
  readonly seeder: SeederChoice;
  /** Folder that takes payload and downloads. */
  readonly folder: string;
  readonly timeoutMs: number;
}

/** What is told while it goes on. */
export type CompareEvent =
  | { readonly type: 'missing'; readonly name: string; readonly reason: string }
  | { readonly type: 'step'; readonly text: string }
  | { readonly type: 'run'; readonly name: string; readonly round: number; readonly outcome: RunFigures | VoidRun };

interface Entrant {
  readonly rival: Rival;
  readonly version: string;
}

const MIB = 1_048_576;
const SPARE_BYTES = 64 * MIB;

/**
 * Rounds count from 1 - warmup: those up to 0 are discarded.
 * @throws SpateError; the signal's reason, after everything has been ended and removed
 */
export async function compare(
  settings: CompareSettings,
  signal: AbortSignal,
  onEvent: (event: CompareEvent) => void,
): Promise<Comparison> {
  const { folder: parent, size } = settings;
  await requireRoom(parent, 2 * size + SPARE_BYTES, 'choose a smaller --size, or another folder with --dir');
  return await inRaceFolder(parent, async (folder) => {
    const { entrants, missing } = await findEntrants(settings, folder, signal, onEvent);
    const arena = await openArena(settings, folder, signal, onEvent);
    try {
      const machine = machineFacts();
      const startedAt = new Date().toISOString();
      const { ready, refused } = split(entrants, arena.seeds);
      for (const { name, reason } of refused) onEvent({ type: 'missing', name, reason });
      const contenders = await race(ready, arena, settings, signal, onEvent);
      const { pieceLength, seeds, runs: rounds, warmup } = settings;
      const storage = await storageKind(folder);
      const seeder = arena.seeds.name;
      const facts = { startedAt, machine, size, pieceLength, seeds, seeder, storage, rounds, warmup };
      return { ...facts, contenders, missing: [...missing, ...refused] };
    } finally {
      await arena.seeds.stop();
    }
  });
}

/** Ours, then the commands, then the known ones that are there. @throws SpateError USAGE for two of one name */
async function findEntrants(
  { rivals = Object.keys(RIVALS), commands }: CompareSettings,
  folder: string,
  signal: AbortSignal,
  onEvent: (event: CompareEvent) => void,
): Promise<{ readonly entrants: Entrant[]; readonly missing: Comparison['missing'] }> {
  const entrants: Entrant[] = [{ rival: spate(), version: `this one, Node ${process.version}` }];
  const missing: { name: string; reason: string }[] = [];
  for (const name of rivals) {
    signal.throwIfAborted();
    const detection = await RIVALS[name]!(folder, signal);
    if ('rival' in detection) entrants.push(detection);
    else missing.push({ name, reason: detection.missing });
  }
  for (const each of missing) onEvent({ type: 'missing', ...each });
  for (const rival of commands) entrants.push({ rival, version: 'a command' });
  const names = entrants.map(({ rival }) => rival.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new SpateError('USAGE', `expected names that differ, got ${twice} twice`);
  return { entrants, missing };
}

/** Who can take part with these seeds. */
function split(entrants: readonly Entrant[], { name: seeder, dial }: RaceSeeds) {
  const canRace = ({ rival }: Entrant): boolean => dial !== undefined || rival.daemon?.mustBeDialled !== true;
  const reason = `it must be dialled, which \`${seeder}\` does not do at will; the C seeder does`;
  const refused = entrants.filter((each) => !canRace(each)).map(({ rival }) => ({ name: rival.name, reason }));
  return { ready: entrants.filter(canRace), refused };
}

/** Payload and seeds. */
async function openArena(
  settings: CompareSettings,
  folder: string,
  signal: AbortSignal,
  onEvent: (event: CompareEvent) => void,
): Promise<Arena> {
  const { size, pieceLength, timeoutMs } = settings;
  const shape: PayloadShape = { seed: 'spate compare', name: 'payload.bin', length: size };
  const payloadRoot = join(folder, 'payload');
  await mkdir(payloadRoot);
  onEvent({ type: 'step', text: `making ${Math.ceil(size / MIB)} MiB of payload in ${folder}` });
  const pieceHashes = await writePayload(shape, payloadRoot, pieceLength, signal);
  const { infohash } = parseMetainfo(payloadTorrent(shape, pieceLength, pieceHashes));
  const stage: Stage = { folder, shape, payloadRoot, pieceLength, pieceHashes, infohash, timeoutMs };
  const seeds = await startSeeds(stage, settings, signal, onEvent);
  const ports = seeds.addresses.map(({ port }) => port).join(', ');
  onEvent({ type: 'step', text: `${settings.seeds} × ${seeds.name} on port ${ports}` });
  return { ...stage, seeds };
}

/** An arena before the seeds are there. */
type Stage = Omit<Arena, 'seeds'>;

async function startSeeds(
  { folder, shape, payloadRoot, pieceLength, pieceHashes, infohash }: Stage,
  { seeds: count, seeder }: CompareSettings,
  signal: AbortSignal,
  onEvent: (event: CompareEvent) => void,
): Promise<RaceSeeds> {
  const native = seeder === 'spate' ? { missing: '' } : await buildNative('cseed', folder, signal);
  if ('path' in native) {
    const file = join(payloadRoot, shape.name);
    return await startCseeds(
      native.path,
      { file, infohash: Buffer.from(infohash).toString('hex'), pieceLength },
      count,
    );
  }
  if (seeder === 'native') throw new SpateError('UNAVAILABLE', `no C seeder: ${native.missing}; leave out --seeder`);
  if (seeder === 'auto') onEvent({ type: 'step', text: `seeding with \`spate seed\`: ${native.missing}` });
  // They are ready when a tracker has heard of them; it goes, since every run has one of its own.
  const tracker = await startTracker();
  try {
    const torrent = join(folder, 'seeds.torrent');
    await writeFile(torrent, payloadTorrent(shape, pieceLength, pieceHashes, [[tracker.httpUrl]]));
    return await startSpateSeeds({ torrent, dir: payloadRoot, signal }, count);
  } finally {
    await tracker.close();
  }
}

async function race(
  entrants: readonly Entrant[],
  arena: Arena,
  { runs, warmup }: CompareSettings,
  signal: AbortSignal,
  onEvent: (event: CompareEvent) => void,
): Promise<Contender[]> {
  const lanes = entrants.map(({ rival, version }) => ({
    rival,
    contender: {
      name: rival.name,
      version,
      command: shownCommand(rival),
      runs: [] as RunFigures[],
      voids: [] as VoidRun[],
    },
  }));
  for (let round = 1 - warmup; round <= runs; round++) {
    for (const { rival, contender } of rotated(lanes, round + warmup - 1)) {
      const outcome = await runOnce(rival, arena, round, signal);
      onEvent({ type: 'run', name: rival.name, round, outcome });
      if (round < 1) continue;
      if ('reason' in outcome) contender.voids.push(outcome);
      else contender.runs.push(outcome);
    }
  }
  return lanes.map(({ contender }) => contender);
}
