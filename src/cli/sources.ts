/** Torrents as the command line names them: a `.torrent` path, or `-` for the bytes on stdin. */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { addAbortSignal } from 'node:stream';
import { MAX_TORRENT_BYTES, type Metainfo, parseMetainfo } from '../protocol/metainfo.js';
import { requirePath } from '../protocol/source.js';
import { sourceError, torrentError } from '../storage/torrent-source.js';

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
  requirePath(source);
  const isStdin = source === '-';
  const bytes = await readAll(isStdin ? stdin() : createReadStream(source), signal).catch((error: unknown) => {
    throw sourceError(source, error);
  });
  try {
    return parseMetainfo(bytes);
  } catch (error) {
    throw torrentError(isStdin ? 'standard input' : source, error);
  }
}

async function readAll(stream: Readable, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (signal !== undefined) addAbortSignal(signal, stream);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    // A disk image given by mistake need not be read to its end; a byte too many tells that there is more.
    if (length > MAX_TORRENT_BYTES || chunks[0]![0] !== 0x64) break;
  }
  return Buffer.concat(chunks);
}
