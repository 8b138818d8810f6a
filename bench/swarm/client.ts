/** The client under test, in a process of its own: jobs go in, verified outcomes come back. */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { SessionSettings } from '../../src/session.js';
import type { SmallTorrent } from '../../test/helpers/small-torrent.js';
import type { FromClient, Job, Outcome, ToClient } from './client-process.js';
import { Child, type Lab, MIB } from './lab.js';

export type { Look, Outcome } from './client-process.js';

type Of<Type extends FromClient['type']> = Extract<FromClient, { type: Type }>;

export interface Run {
  /** Where it listens. */
  readonly port: number;
  /** @throws Error when it failed, or when what is on disk is not the payload */
  done(): Promise<Outcome>;
  /** Leaves; what was downloaded goes. @returns bytes uploaded */
  end(): Promise<number>;
}

export class Client {
  readonly #lab: Lab;
  readonly #child: Child<ToClient, FromClient>;
  readonly #hashes = new WeakMap<SmallTorrent, string>();

  private constructor(lab: Lab, child: Child<ToClient, FromClient>) {
    this.#lab = lab;
    this.#child = child;
  }

  static async start(lab: Lab): Promise<Client> {
    const child = await lab.ending(Promise.resolve(new Child<ToClient, FromClient>('client-process.js')));
    return new Client(lab, child);
  }

  /** Begins a download, or with a folder that has all a seeding. */
  async run(
    torrent: SmallTorrent,
    { out = this.#lab.newPath(), ...job }: Partial<Job> & { settings?: SessionSettings },
  ): Promise<Run> {
    this.#child.tell({ type: 'run', job: { torrent: torrent.bytes, peers: [], ...job, out } });
    const { port } = await this.#expect('open');
    return {
      port,
      done: async () => {
        const outcome = await this.#expect('done');
        const expected = this.#hashOf(torrent);
        if (outcome.sha1 !== expected) throw new Error(`expected a file of SHA-1 ${expected}, found ${outcome.sha1}`);
        return outcome;
      },
      end: async () => {
        this.#child.tell({ type: 'end' });
        const { uploaded } = await this.#expect('closed');
        await rm(out, { recursive: true, force: true });
        return uploaded;
      },
    };
  }

  /** A whole download. */
  async download(torrent: SmallTorrent, job: Partial<Job>): Promise<Outcome> {
    const run = await this.run(torrent, job);
    const outcome = await run.done();
    await run.end();
    return outcome;
  }

  async #expect<Type extends FromClient['type']>(type: Type): Promise<Of<Type>> {
    const message = await this.#child.next();
    if (message.type === type) return message as Of<Type>;
    throw new Error(
      message.type === 'failed' ? message.message : `expected ${type} of the client, found ${message.type}`,
    );
  }

  #hashOf(torrent: SmallTorrent): string {
    const known = this.#hashes.get(torrent);
    if (known !== undefined) return known;
    const hash = createHash('sha1');
    // More than 2 GiB cannot be given at once.
    for (let at = 0; at < torrent.payload.length; at += MIB) hash.update(torrent.payload.subarray(at, at + MIB));
    const sha1 = hash.digest('hex');
    this.#hashes.set(torrent, sha1);
    return sha1;
  }
}
