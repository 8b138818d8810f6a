/** What the cases of a test file share: payloads that are made before the first and gone after the last. Not a test. */
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { aria2 } from './aria2.js';
import { closeLabs, type Lab } from './lab.js';
import { libtorrent } from './libtorrent.js';
import { expectPackages } from './packages.js';
import { expectCopy, expectRoom, type Payload } from './payload.js';
import { type ForeignClient, newFolder, type Task } from './task.js';
import { startTracker, type Tracker } from './tracker.js';
import { transmission } from './transmission.js';

export const ALL: readonly ForeignClient[] = [aria2, libtorrent, transmission];

export interface Suite<Name extends string> {
  /** Empty until the first case runs. */
  readonly payloads: Readonly<Record<Name, Payload>>;
  /** A tracker that knows the payloads. */
  trackerIn(lab: Lab): Promise<Tracker>;
}

/** @param roomBytes needed for the payloads and for the copies that one case makes */
export function suiteOf<Name extends string>(
  makers: Readonly<Record<Name, (root: string) => Promise<Payload>>>,
  roomBytes: number,
): Suite<Name> {
  const payloads = {} as Record<Name, Payload>;
  let root: string | undefined;
  beforeAll(async () => {
    expectPackages();
    await expectRoom(roomBytes);
    root = await realpath(await mkdtemp(join(tmpdir(), 'spate-interop-')));
    for (const name of Object.keys(makers) as Name[]) {
      const folder = join(root, name);
      await mkdir(folder);
      payloads[name] = await makers[name](folder);
    }
  });
  afterEach(closeLabs);
  afterAll(async () => {
    if (root !== undefined) await rm(root, { recursive: true, force: true });
  });
  return {
    payloads,
    trackerIn: (lab) =>
      startTracker(
        lab,
        Object.values<Payload>(payloads).map(({ infohash }) => infohash),
      ),
  };
}

/** A client fetches a payload, and every byte is compared. */
export async function leechesCopy(client: ForeignClient, payload: Payload, task: Omit<Task, 'folder'>): Promise<void> {
  const out = await newFolder(task.lab, `${client.name}-out`);
  await client.leech({ ...task, folder: out });
  await expectCopy(payload, out, client.lacksEmptyFiles);
}
