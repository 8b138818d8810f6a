/** Torrents as the command line names them: a `.torrent` path, or `-` for the bytes on stdin. */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { addAbortSignal } from 'node:stream';
import { fileError, messageOf, SpateError } from '../errors.js';
import { type Metainfo, parseMetainfo } from '../protocol/metainfo.js';

/** As much as `parseMetainfo` takes, and a byte to tell that there is more. */
const MAX_BYTES = 128 * 1_048_576 + 1;

/**
 * Reads a torrent.
 * @param source a path, or `-`
 * @throws SpateError INVALID_TORRENT or LOCAL_IO, naming the source
 */
export async function readTorrent(
  source: string,
  signal?: AbortSignal,
  stdin: () => Readable = () => process.stdin,
): Promise<Metainfo> {
  refuseUnsupported(source);
  const isStdin = source === '-';
  const bytes = await readAll(isStdin ? stdin() : createReadStream(source), signal).catch((error: unknown) => {
    throw readError(source, error);
  });
  try {
    return parseMetainfo(bytes);
  } catch (error) {
    if (!(error instanceof SpateError)) throw error;
    throw new SpateError(error.code, `${isStdin ? 'standard input' : source}: ${messageOf(error)}`, { cause: error });
  }
}

async function readAll(stream: Readable, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (signal !== undefined) addAbortSignal(signal, stream);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    // A disk image given by mistake need not be read to its end.
    if (length >= MAX_BYTES || chunks[0]![0] !== 0x64) break;
  }
  return Buffer.concat(chunks);
}

/** A source that is not there is bad input; one that is there and cannot be read is a local failure. */
function readError(source: string, error: unknown): SpateError {
  const { code } = error as NodeJS.ErrnoException;
  const missing = code === 'ENOENT' || code === 'ENOTDIR';
  if (!missing && code !== 'EISDIR') return fileError(`read ${source}`, error);
  const found = missing ? 'there is no such file' : 'it is a folder';
  return new SpateError('INVALID_TORRENT', `cannot read ${source}: expected a .torrent file, but ${found}`, {
    cause: error,
  });
}

/** Kinds of source that exist and are not supported yet. */
function refuseUnsupported(source: string): void {
  const kind = unsupportedKind(source);
  if (kind === undefined) return;
  throw new SpateError(
    'INVALID_TORRENT',
    `${source}: ${kind} are not supported yet; get the .torrent file and give its path`,
  );
}

function unsupportedKind(source: string): string | undefined {
  if (/^magnet:/i.test(source)) return 'magnet links';
  if (/^https?:\/\//i.test(source)) return 'URLs of torrents';
  if (/^(?:[0-9a-f]{40}|[a-z2-7]{32})$/i.test(source)) return 'bare infohashes';
  return undefined;
}
