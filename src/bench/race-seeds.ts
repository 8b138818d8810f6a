/**
 * The seeds of a race: the same for every client, and as cheap as there are, so that they take little of the machine from whom they
 * seed to. The C seeder where it can be built, else `spate seed`, which cannot dial at will.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { SpateError } from '../errors.js';
import type { PeerAddress } from '../protocol/address.js';
import { type SeederOptions, startSeeder } from '../swarm/seeder.js';

export interface RaceSeeds {
  readonly name: string;
  readonly addresses: readonly PeerAddress[];
  /** Connects every seed to a client; absent where they cannot. */
  readonly dial?: (client: PeerAddress) => void;
  /** Safe to call again. */
  stop(): Promise<void>;
}

export interface CseedPayload {
  /** Path of the payload's one file. */
  readonly file: string;
  /** Hexadecimal. */
  readonly infohash: string;
  /** Bytes; a power of two. */
  readonly pieceLength: number;
}

const LOOPBACK = '127.0.0.1';

/** @param program path of the built `cseed` @param knobs its environment, beside ours */
export async function startCseeds(
  program: string,
  payload: CseedPayload,
  count: number,
  knobs: Readonly<Record<string, string>> = {},
): Promise<RaceSeeds> {
  return await together('cseed', count, () => startCseed(program, payload, knobs));
}

export async function startSpateSeeds(options: SeederOptions, count: number): Promise<RaceSeeds> {
  return await together('spate seed', count, async () => {
    const seeder = await startSeeder(options);
    return {
      port: seeder.port,
      async stop() {
        await seeder.stop();
      },
    };
  });
}

interface Seed {
  readonly port: number;
  readonly dial?: (client: PeerAddress) => void;
  stop(): Promise<void>;
}

/** All of them, or none is left running. */
async function together(name: string, count: number, start: () => Promise<Seed>): Promise<RaceSeeds> {
  const started = await Promise.allSettled(Array.from({ length: count }, start));
  const seeds = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const stop = async (): Promise<void> => void (await Promise.all(seeds.map((seed) => seed.stop())));
  const failed = started.find((result) => result.status === 'rejected');
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  const canDial = seeds.every(({ dial }) => dial !== undefined);
  return {
    name,
    addresses: seeds.map(({ port }) => ({ host: LOOPBACK, port })),
    ...(canDial && { dial: (client) => void seeds.forEach((seed) => void seed.dial?.(client)) }),
    stop,
  };
}

/** It ends with its stdin, and so with this process, however that ends. */
async function startCseed(
  program: string,
  { file, infohash, pieceLength }: CseedPayload,
  knobs: Readonly<Record<string, string>>,
): Promise<Seed> {
  const child = spawn(program, ['0', infohash, file, String(pieceLength)], {
    // Its knobs are the user's: DELAY_MS, RATE_KIB.
    env: { ...process.env, BIND: LOOPBACK, CONTROL: '1', ...knobs },
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  const exited = once(child, 'exit');
  child.stdin.on('error', () => {});
  const stop = async (): Promise<void> => {
    child.stdin.destroy();
    await exited;
  };
  const port = await firstLine(child.stdout).then((line) => Number(/^ready (\d+)$/.exec(line)?.[1]));
  if (port > 0) {
    return { port, stop, dial: ({ host, port }) => void child.stdin.write(`dial ${host} ${port}\n`) };
  }
  await stop();
  throw new SpateError('CANNOT_LISTEN', 'the C seeder did not start');
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stream })) return line;
  return '';
}
