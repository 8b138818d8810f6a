/** What the process ends with. The numbers are a contract: scripts branch on them. */
import { type ErrorCode, fileError, SpateError } from '../errors.js';

export const EXIT = {
  ok: 0,
  internal: 1,
  usage: 2,
  /** Several torrents that ended differently. */
  mixed: 7,
  /** A bench has found what it asserts not to be so. */
  assertion: 12,
  interrupted: 130,
  /** Whoever read stdout is gone. */
  pipe: 141,
  terminated: 143,
} as const;

const BY_ERROR: Readonly<Record<ErrorCode, number>> = {
  INTERNAL: EXIT.internal,
  USAGE: EXIT.usage,
  INVALID_TORRENT: 3,
  DUPLICATE_TORRENT: 3,
  UNAVAILABLE: 4,
  STALLED: 5,
  BAD_DATA: 6,
  LOCAL_IO: 8,
  DISK_FULL: 9,
  CANNOT_LISTEN: 10,
  ALREADY_RUNNING: 11,
  // Nobody but this program closes its session: interrupts have codes of their own.
  CLOSED: EXIT.internal,
};

export function exitCodeOf(error: unknown): number {
  return error instanceof SpateError ? BY_ERROR[error.code] : EXIT.internal;
}

/** What becomes of a process whose data cannot be written to stdout, and why. */
export function stdoutError(error: Error): { readonly exitCode: number; readonly reason: Error } {
  const reason = fileError('write to stdout', error);
  const isPipe = (error as NodeJS.ErrnoException).code === 'EPIPE';
  return { exitCode: isPipe ? EXIT.pipe : exitCodeOf(reason), reason };
}

/** One code for several torrents: the common one, or that they differ. */
export function combinedExitCode(codes: readonly number[]): number {
  const [first = EXIT.ok, ...rest] = codes;
  return rest.every((code) => code === first) ? first : EXIT.mixed;
}
