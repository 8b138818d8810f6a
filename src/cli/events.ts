/**
 * `--events`: what happens, as JSON lines for programs: `{"v":1,"ts":...,"seq":n,"type":...}`, `ts` in seconds since 1970, `seq`
 * without a gap from 1 on; the first is a `start`, the last a `summary`.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Command } from 'commander';
import { fileError, SpateError } from '../errors.js';
import { formatAddress } from '../protocol/address.js';
import type { DownloadEvent } from '../session.js';
import { jsonLine } from '../text.js';
import type { OutputFlags } from './flags.js';
import type { Output } from './output.js';

export interface EventFlags {
  /** A file, or - for stdout. */
  readonly events?: string;
}

const STDOUT = '-';

export function addEventFlag(command: Command): Command {
  return command.option('--events [file]', 'write what happens as JSON lines, to stdout without a file');
}

/** Arguments in which a bare `--events` takes nothing: the list or torrent behind it is no file to be begun anew. */
export function withBareEvents(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, at) => (arg === '--events' && (end === -1 || at < end) ? `--events=${STDOUT}` : arg));
}

/** The types of the contract. */
export type EventType =
  | 'start'
  | 'added'
  | 'metadata'
  | 'check'
  | 'progress'
  | 'tracker'
  | 'peer'
  | 'stalled'
  | 'retry'
  | 'warn'
  | 'done'
  | 'error'
  | 'summary';

export interface EventLog {
  emit(type: EventType, fields?: Readonly<Record<string, unknown>>): void;
  close(): void;
}

/**
 * The log that the flags ask for, to nowhere when they do not; a file is begun anew.
 * @param onBroken told once when the file cannot be written any more: there are no more of them
 * @throws SpateError (USAGE) when stdout is asked for twice, (LOCAL_IO) when the file cannot be written
 */
export function openEvents(
  { json, events }: Pick<OutputFlags, 'json'> & EventFlags,
  output: Output,
  onBroken: (error: SpateError) => void,
): EventLog {
  if (events === undefined) return { emit: () => {}, close: () => {} };
  if (json && events === STDOUT) {
    throw new SpateError('USAGE', '--json and --events both write to stdout; name a file: --events=FILE');
  }
  const file = events === STDOUT ? undefined : new EventFile(events, onBroken);
  let seq = 0;
  return {
    emit(type, fields = {}) {
      const line = jsonLine({ v: 1, ts: Date.now() / 1000, seq: ++seq, type, ...fields });
      if (file === undefined) output.data(line);
      else file.write(line);
    },
    close: () => file?.close(),
  };
}

/** What is told of an event of a download. */
export function eventOf(event: DownloadEvent): [EventType, Readonly<Record<string, unknown>>] {
  switch (event.type) {
    case 'checked':
      return ['check', { pieces: event.pieces, of: event.of, trusted: event.trusted }];
    case 'tracker': {
      const { url, state, message = null, peers } = event.status;
      return ['tracker', { url, state, message, peers }];
    }
    case 'peer':
      return ['peer', { what: event.what, address: formatAddress(event.address) }];
    case 'warning':
      return ['warn', { message: event.message }];
  }
}

/** Lines go to the kernel as they come: after a kill they are there. */
class EventFile {
  readonly #path: string;
  readonly #onBroken: (error: SpateError) => void;
  readonly #fd: number;
  #isBroken = false;

  constructor(path: string, onBroken: (error: SpateError) => void) {
    this.#path = path;
    this.#onBroken = onBroken;
    try {
      this.#fd = openSync(path, 'w', 0o644);
    } catch (error) {
      throw fileError(`write events to ${path}`, error);
    }
  }

  write(line: string): void {
    if (this.#isBroken) return;
    try {
      const bytes = Buffer.from(`${line}\n`);
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    } catch (error) {
      // A gap would be worse than an end.
      this.#isBroken = true;
      this.#onBroken(fileError(`write events to ${this.#path}`, error));
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
