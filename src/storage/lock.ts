/**
 * A lock that a name can be held under by one process of a machine at a time, and that its holder's death releases, however
 * it died. Node has no `flock`, and a process id in a file is a guess: ids are reused and mean nothing in another container.
 * So whoever wants the lock listens on a Unix socket of its own in a folder all look into; the kernel stops answering for the
 * dead. Not a lock between machines that share the folder.
 *
 * Each contender listens first and looks around afterwards: of two, the one that came to listen last sees the other. Seeing a
 * living one it withdraws, and tries again a little later, since both may have withdrawn. A socket's name is never used twice,
 * so the one of a dead contender can be removed by anybody. The sockets lie in 256 folders by the hash of what they are for:
 * who looks around among those of thousands of locks reads few.
 */
import { hash } from 'node:crypto';
import { closeSync, openSync, readdirSync, renameSync, rmSync, unlink } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileError } from '../errors.js';
import { makeFolders, nodeDisk } from './disk.js';

export interface Lock {
  /** Safe to call again. */
  release(): void;
}

/** Longest path of a Unix socket: 108 bytes on Linux, 104 elsewhere, one of them a zero. */
const MAX_SOCKET_PATH = 103;
const ATTEMPTS = 6;
/** Contenders that have withdrawn come back within so long. */
const BACK_OFF_MS = 50;

/**
 * @param folder made when needed
 * @param name what is to be held once, of any length
 * @param random uniform in [0, 1)
 * @returns `undefined` when somebody else holds it
 * @throws SpateError (LOCAL_IO) when the folder cannot be used
 */
export async function takeLock(folder: string, name: string, random: () => number): Promise<Lock | undefined> {
  const prefix = hash('sha256', name, 'hex').slice(0, 20);
  const part = join(folder, prefix.slice(0, 2));
  try {
    for (let attempt = 1; ; attempt++) {
      // The folder is there, most likely.
      const lock = await contend(part, prefix, random).catch(async () => {
        await makeFolders(nodeDisk, part);
        return await contend(part, prefix, random);
      });
      if (lock !== undefined || attempt === ATTEMPTS) return lock;
      await delay(random() * BACK_OFF_MS);
    }
  } catch (error) {
    throw fileError(`lock ${folder}`, error);
  }
}

/** Removes the socket of a lock whose holder has died. @param folder the one it lies in */
export async function removeIfDead(folder: string, name: string): Promise<void> {
  const short = shortened(folder);
  try {
    if (!(await isAlive(join(short.folder, name)))) rmSync(join(folder, name), { force: true });
  } finally {
    short.close();
  }
}

async function contend(folder: string, prefix: string, random: () => number): Promise<Lock | undefined> {
  const tag = Math.floor(random() * 2 ** 32)
    .toString(16)
    .padStart(8, '0');
  const short = shortened(folder);
  const own = `${prefix}.${process.pid.toString(16)}${tag}`;
  const server = createServer((socket) => socket.destroy());
  const lock = {
    release: (): void => {
      // Not waited for, as the disk may hang. The server later: it removes the name that it listened under, on this thread.
      unlink(join(folder, own), () => server.close());
    },
  };
  try {
    // Under another name until it answers: a socket that does not is taken for a dead one.
    await listen(server, join(short.folder, `${own}.new`));
    renameSync(join(folder, `${own}.new`), join(folder, own));
    const others = readdirSync(folder).filter((each) => each.startsWith(`${prefix}.`) && each !== own);
    for (const other of others) {
      if (await isAlive(join(short.folder, other))) {
        lock.release();
        return undefined;
      }
      rmSync(join(folder, other), { force: true });
    }
    return lock;
  } catch (error) {
    lock.release();
    throw error;
  } finally {
    short.close();
  }
}

/** @throws the error of the system */
export function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // An open lock keeps no process alive.
    server.unref().listen(path, resolve);
  });
}

/** Whether anybody listens; whoever cannot be asked is taken for alive. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'));
  });
}

/** The folder under a name that leaves room for a socket's. */
function shortened(folder: string): { readonly folder: string; close(): void } {
  const isLong = Buffer.byteLength(folder) + 1 + 45 > MAX_SOCKET_PATH;
  if (!isLong || process.platform !== 'linux') return { folder, close: () => {} };
  const fd = openSync(folder, 'r');
  return { folder: `/proc/self/fd/${fd}`, close: () => closeSync(fd) };
}
