/** What the swarm benches share: torrents, a temporary folder, and children that end with their bench. */
import { type ChildProcess, fork } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type SmallTorrent, torrentOf } from '../../test/helpers/small-torrent.js';

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** An AES key stream: the same bytes each time, made faster than anything else here. */
export function madeUpTorrent(length: number, pieceLength: number): SmallTorrent {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 'swarm'), Buffer.alloc(16));
  const payload = Buffer.allocUnsafe(length);
  const zeros = Buffer.alloc(MIB);
  for (let at = 0; at < length; at += MIB) cipher.update(zeros.subarray(0, length - at)).copy(payload, at);
  return torrentOf(payload, pieceLength);
}

/** The same numbers in [0, 1) for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = ((seed + 1) * 48_271 ** 2) % 2_147_483_647;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** Things that end with the bench, last come first. */
export class Lab {
  readonly folder: string;
  readonly #closers: (() => Promise<unknown>)[] = [];
  #folders = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Runs a bench; whatever happens, all it started ends and its folder goes. */
  static async run(work: (lab: Lab) => Promise<void>): Promise<void> {
    const lab = new Lab(await mkdtemp(join(tmpdir(), 'spate-swarm-')));
    try {
      await work(lab);
    } finally {
      await lab.end();
      await rm(lab.folder, { recursive: true, force: true });
    }
  }

  /** The path of a folder that is not there yet. */
  newPath(): string {
    return join(this.folder, `${++this.#folders}`);
  }

  async ending<T extends { close(): Promise<unknown> }>(opening: Promise<T>): Promise<T> {
    const opened = await opening;
    this.#closers.push(() => opened.close());
    return opened;
  }

  /** Ends what there is so far. */
  async end(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}

/**
 * A process of this bench that answers one message at a time and ends when the channel to it closes.
 * @typeParam Q what it is asked
 * @typeParam A what it answers
 */
export class Child<Q, A> {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #answers: A[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(file: string) {
    this.#child = fork(new URL(file, import.meta.url), { serialization: 'advanced' });
    this.#child.on('message', (answer) => {
      this.#answers.push(answer as A);
      this.#wake?.();
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', () => {
        this.#ended = true;
        this.#wake?.();
        resolve();
      });
    });
  }

  tell(question: Q): void {
    this.#child.send(question as object);
  }

  /** The next thing it says. @throws Error when it ends instead */
  async next(): Promise<A> {
    while (this.#answers.length === 0) {
      if (this.#ended) throw new Error('a process of the bench ended in the middle of it');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#answers.shift()!;
  }

  async close(): Promise<void> {
    if (!this.#ended) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}
