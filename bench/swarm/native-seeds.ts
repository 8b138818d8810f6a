/** Seeds in C, which cost next to nothing: what is measured is the client. */
import { writeFile } from 'node:fs/promises';
import { buildNative, type NativeProgram } from '../../src/bench/native.js';
import { type CseedPayload, type RaceSeeds, startCseeds } from '../../src/bench/race-seeds.js';
import type { SmallTorrent } from '../../test/helpers/small-torrent.js';
import type { Lab } from './lab.js';

/** @returns path of the built program @throws Error when it cannot be built */
export async function nativeProgram(lab: Lab, name: NativeProgram): Promise<string> {
  const built = await buildNative(name, lab.folder, undefined);
  if ('missing' in built) throw new Error(built.missing);
  return built.path;
}

/** Puts a torrent's payload where seeds find it. */
export async function payloadOf(lab: Lab, { payload, infohash, pieceLength }: SmallTorrent): Promise<CseedPayload> {
  const file = lab.newPath();
  await writeFile(file, payload);
  return { file, infohash: infohash.toString('hex'), pieceLength };
}

/** @param rateKib KiB per second of each connection, 0 for no limit @returns seeds that end with the lab */
export async function nativeSeeds(
  lab: Lab,
  program: string,
  payload: CseedPayload,
  count: number,
  rateKib = 0,
): Promise<RaceSeeds> {
  const seeds = await startCseeds(program, payload, count, { RATE_KIB: `${rateKib}` });
  return await lab.ending(Promise.resolve({ ...seeds, close: () => seeds.stop() }));
}
