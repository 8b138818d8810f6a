/**
 * `--events`: what happens, as JSON lines for programs: `{"v":1,"ts":...,"seq":n,"type":...}`, `ts` in seconds since 1970, `seq`
 * without a gap from 1 on; the first is a `start`, the last a `summary`.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { fileError } from '../errors.js';
import { jsonLine } from '../text.js';
import type { Output } from './output.js';

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
 * @param target a file that is begun anew, `true` for stdout, `undefined` for nowhere
 * @throws SpateError LOCAL_IO when the file cannot be written
 */
export function openEvents(target: string | true | undefined, output: Output): EventLog {
  if (target === undefined) return { emit: () => {}, close: () => {} };
  const file = target === true ? undefined : new EventFile(target, output);
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

/** Lines go to the kernel as they come: after a kill they are there. */
class EventFile {
  readonly #path: string;
  readonly #output: Output;
  readonly #fd: number;
  #isBroken = false;

  constructor(path: string, output: Output) {
    this.#path = path;
    this.#output = output;
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
      this.#output.warning(`${fileError(`write events to ${this.#path}`, error).message}; there are no more of them`);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
