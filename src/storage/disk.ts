/**
 * The file functions the storage floor calls, in one record so that tests can record and fail them. Callbacks on plain
 * descriptors, not `FileHandle`: they run about a thousand times a second. Not for hashing, which reads synchronously in a
 * thread of its own (`hash-pieces.ts`).
 */
import {
  close,
  constants,
  fdatasync,
  fstat,
  fsync,
  ftruncate,
  lstat,
  mkdir,
  type NoParamCallback,
  open,
  readv,
  realpath,
  rename,
  writev,
} from 'node:fs';
import { dirname, sep } from 'node:path';

type Done<T> = (error: NodeJS.ErrnoException | null, value: T) => void;

/** As bigints: a time in nanoseconds and some numbers of inodes are too long for a number. */
export interface FileFacts {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  /** The two say which file it is, as long as somebody has it open. */
  readonly dev: bigint;
  readonly ino: bigint;
  /** Names it has; 0 when it was removed. */
  readonly nlink: bigint;
  isFile(): boolean;
}

export interface Disk {
  open(path: string, flags: number, mode: number, done: Done<number>): void;
  close(fd: number, done: NoParamCallback): void;
  fstat(fd: number, done: Done<FileFacts>): void;
  ftruncate(fd: number, length: number, done: NoParamCallback): void;
  writev(fd: number, views: readonly Uint8Array[], position: number, done: Done<number>): void;
  readv(fd: number, views: readonly Uint8Array[], position: number, done: Done<number>): void;
  fdatasync(fd: number, done: NoParamCallback): void;
  fsync(fd: number, done: NoParamCallback): void;
  rename(from: string, to: string, done: NoParamCallback): void;
  lstat(path: string, done: Done<FileFacts>): void;
  mkdir(path: string, done: NoParamCallback): void;
  realpath(path: string, done: Done<string>): void;
}

export const nodeDisk: Disk = {
  open,
  close,
  fstat: (fd, done) => fstat(fd, { bigint: true }, done),
  ftruncate,
  writev,
  readv,
  fdatasync,
  fsync,
  rename,
  lstat: (path, done) => lstat(path, { bigint: true }, done),
  mkdir,
  realpath: realpath.native,
};

/**
 * Never follow a symlink in the last element; never wait for the other end of a pipe. Windows has neither flag.
 */
const SAFE = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
export const OPEN_TO_READ = constants.O_RDONLY | SAFE;
export const OPEN_TO_WRITE = constants.O_WRONLY | constants.O_CREAT | SAFE;

/** One call of a `Disk` function as a promise. */
export function call<T = void>(start: (done: (error: Error | null, value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === null ? resolve(value) : reject(error)));
  });
}

/** Whether an error of the system says that there is nothing at the path; where a path is too long nothing can be. */
export function isAbsence(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG';
}

/**
 * Makes a folder and those above it. Node's own recursive `mkdir` tries for ever where none can be made because there is
 * nothing to make it in, as below `/proc`.
 */
export async function makeFolders(disk: Pick<Disk, 'mkdir' | 'lstat'>, path: string): Promise<void> {
  // With the separator it is an error when what is there is no folder.
  const look = (): Promise<unknown> => call((done) => disk.lstat(path + sep, done));
  const make = (): Promise<void> => call((done) => disk.mkdir(path, done));
  try {
    await look();
    return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  try {
    await make().catch(async (error: NodeJS.ErrnoException) => {
      const parent = dirname(path);
      if (error.code !== 'ENOENT' || parent === path) throw error;
      await makeFolders(disk, parent);
      await make();
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    await look();
  }
}
