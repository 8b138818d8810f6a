/**
 * Every failure that reaches a user is a `SpateError`: one class, one stable `code`, one line of text that names what was
 * expected, what was found and, where there is something to do, what to do. The CLI maps codes to exit codes.
 */

export type ErrorCode =
  /** A fault of this program. */
  | 'INTERNAL'
  /** An option or argument is wrong. */
  | 'USAGE'
  /** A torrent, magnet link or list line is malformed or unsupported. */
  | 'INVALID_TORRENT'
  /** The same infohash is already in this session. */
  | 'DUPLICATE_TORRENT'
  /** Another process downloads the same torrent into the same folder. */
  | 'ALREADY_RUNNING'
  /** No peer was ever reached: every source failed or gave none. */
  | 'UNAVAILABLE'
  /** Peers were there, then no byte came for too long. */
  | 'STALLED'
  /** Data keep failing their piece hash. */
  | 'BAD_DATA'
  /** A local file operation failed: permission, path, input/output. */
  | 'LOCAL_IO'
  /** The disk is full. */
  | 'DISK_FULL'
  /** The port or address cannot be listened on. */
  | 'CANNOT_LISTEN'
  /** The session or download was closed by its owner. */
  | 'CLOSED';

export class SpateError extends Error {
  override readonly name = 'SpateError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The one-line text of anything thrown. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.trim().replaceAll(/\s*[\r\n]\s*/g, ' ');
}

/** The code and one-line text of anything thrown, for programs. */
export function factsOf(error: unknown): { readonly code: ErrorCode; readonly message: string } {
  return { code: error instanceof SpateError ? error.code : 'INTERNAL', message: messageOf(error) };
}

/** Characters of a path, and of what the system says of it, that a message has; longer paths are cut in the middle. */
const MOST_SHOWN = 400;

/**
 * The `SpateError` for a failed local file operation.
 * @param what the operation in words, such as `write /x/y`
 */
export function fileError(what: string, error: unknown): SpateError {
  const errno = (error as NodeJS.ErrnoException | undefined)?.code;
  const full = errno === 'ENOSPC' || errno === 'EDQUOT';
  const hint = full ? '; free some space and run the same command again' : '';
  return new SpateError(full ? 'DISK_FULL' : 'LOCAL_IO', `cannot ${cut(what)}: ${cut(messageOf(error))}${hint}`, {
    cause: error,
  });
}

function cut(text: string): string {
  if (text.length <= MOST_SHOWN) return text;
  const half = MOST_SHOWN / 2;
  return `${text.slice(0, half)}...${text.slice(-half)}`;
}
