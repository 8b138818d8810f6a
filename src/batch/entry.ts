/** What a batch is asked for: shapes and how they are named to people. What a list looks like is in `list.ts`. Pure. */
import { messageOf, type SpateError } from '../errors.js';
import type { FileRanges } from '../storage/selection.js';

/** Where an item comes from. */
export interface Place {
  /** The list as it was named on the command line, or the `.torrent` itself. */
  readonly file: string;
  /** From 1 on; absent for what was no line of a list. */
  readonly line?: number;
}

/** An item as it is asked for. */
export interface Entry {
  readonly place: Place;
  /** A path, relative to the working directory or absolute; a magnet link, URL or infohash. */
  readonly source: string;
  /** The user's own name for it, told in events and the report. */
  readonly id?: string;
  /** Folder to download into, relative to the working directory, in place of the batch's. */
  readonly out?: string;
  /** Files by their numbers; all when absent. */
  readonly select?: FileRanges;
  /** Most bytes per second; no limit when absent. */
  readonly maxDown?: number;
}

/** An item whose torrent was read and is sound. It is read again when it starts: thousands wait in little memory. */
export interface Checked {
  readonly entry: Entry;
  /** 40 lower-case hex digits. */
  readonly infohash: string;
  /** Safe name of its file or folder in `out`. */
  readonly name: string;
  /** Bytes of the wanted files; with every file wanted those of pad files too. */
  readonly length: number;
  readonly pieceLength: number;
}

/** A line or file that is no item. */
export interface Refused {
  readonly place: Place;
  /** What stands there, cut when it is long. */
  readonly source: string;
  /** The item, where the line itself is sound and its torrent is not. */
  readonly entry?: Entry;
  readonly error: SpateError;
}

export function isRefused(item: Checked | Refused): item is Refused {
  return 'error' in item;
}

/** `list.txt:12` */
export function formatPlace({ file, line }: Place): string {
  return line === undefined ? file : `${file}:${line}`;
}

/** `list.txt:12: a.torrent: invalid torrent: ...`: what is wrong, and where. */
export function refusedText({ place, error }: Refused): string {
  const text = messageOf(error);
  // The error of a file that is an argument itself names it already.
  return place.line === undefined ? text : `${formatPlace(place)}: ${text}`;
}
