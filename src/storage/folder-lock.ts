/**
 * A lock for a name in a folder, whatever path leads there and wherever states are kept: an abstract Unix socket (Linux), which is
 * no file and goes with its holder. It is seen by the processes of one network namespace, of all users. Elsewhere, and across
 * namespaces, there is only the lock by path in the state folder (`lock.ts`).
 */
import { hash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { makeFolders, nodeDisk } from './disk.js';
import { type Lock, listen } from './lock.js';

/** All that there may be: Node 20 fills a shorter name up with zeros, later ones do not. */
const NAME_BYTES = 108;

/**
 * @param folder made when needed: it is known by its inode
 * @returns `undefined` when somebody else holds it; a lock that keeps nobody out where none can be had
 */
export async function takeFolderLock(folder: string, name: string): Promise<Lock | undefined> {
  const server = createServer((socket) => socket.destroy());
  const lock: Lock = { release: () => void server.close() };
  if (process.platform !== 'linux') return lock;
  try {
    await makeFolders(nodeDisk, folder);
    const { dev, ino } = await stat(folder, { bigint: true });
    const id = hash('sha256', `${dev} ${ino} ${name}`, 'hex');
    await listen(server, `\0spate ${id}`.padEnd(NAME_BYTES, '-'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined;
  }
  return lock;
}
