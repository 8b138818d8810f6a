/**
 * The peer groups: starts each on Piscina when it gets its first message, as a task that lasts as long as the session,
 * carries messages, and replaces a group that dies. What a message means is the session's business.
 *
 * A group is dead when its port closes, not at the thread's exit: transferred messages arrive after `exit`.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { messageOf, SpateError } from './errors.js';
import { type FromGroup, type GroupStart, post, type ToGroup } from './messages.js';
import type { Options } from './options.js';
import { BUILT, VERSION } from './package.js';

export interface GroupPoolEvents {
  /** A group starts, for the first time or again; what it is sent now comes before anything else. */
  onStart(group: number): void;
  onMessage(group: number, message: FromGroup): void;
  /** The group is gone with everything it held; a fresh, empty one has its number, unless `onFatal` came before. */
  onDeath(group: number, reason: string): void;
  /** Groups die faster than they can be of use. */
  onFatal(error: SpateError): void;
}

export interface GroupPoolOptions {
  readonly size: number;
  readonly bind: string | undefined;
  readonly encryption: NonNullable<GroupStart['encryption']>;
  readonly options: Options;
  /** Groups measure themselves. */
  readonly measure?: boolean;
  /** Another than the built `workers/peer-group`. */
  readonly workerUrl: URL | undefined;
}

const DEATHS_TOLERATED = 2;
const DEATHS_WITHIN_MS = 60_000;

export class GroupPool {
  readonly size: number;
  readonly #settings: GroupPoolOptions;
  readonly #events: GroupPoolEvents;
  readonly #piscina: Piscina;
  /** By group; those that have not been started have none. */
  readonly #ports: (MessagePort | undefined)[] = [];
  /** By group, what is to be posted at the end of the present turn. */
  readonly #outboxes: ToGroup[][];
  readonly #tasks = new Set<Promise<void>>();
  /** The groups of each torrent, and how many torrents each group has. */
  readonly #places = new Map<number, readonly number[]>();
  readonly #loads: number[];
  /** Times of recent deaths, ms. */
  #deaths: number[] = [];
  #closing = false;

  constructor(settings: GroupPoolOptions, events: GroupPoolEvents) {
    this.size = settings.size;
    this.#outboxes = Array.from({ length: settings.size }, () => []);
    this.#loads = Array.from({ length: settings.size }, () => 0);
    this.#settings = settings;
    this.#events = events;
    this.#piscina = new Piscina({
      // A thread costs 100 ms of processor time: a group that no torrent needs has none.
      minThreads: 0,
      maxThreads: settings.size,
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      // 'sync' would park an idle thread in Atomics.wait and freeze its sockets.
      atomics: 'disabled',
      recordTiming: false,
    });
    this.#piscina.on('error', (error) => this.#events.onFatal(new SpateError('INTERNAL', messageOf(error))));
  }

  isRunning(group: number): boolean {
    return this.#ports[group] !== undefined;
  }

  send(group: number, message: ToGroup): void {
    if (!this.isRunning(group)) this.#spawn(group);
    const outbox = this.#outboxes[group]!;
    if (outbox.push(message) === 1) queueMicrotask(() => this.#flush(group));
  }

  #flush(group: number): void {
    const messages = this.#outboxes[group]!;
    const [first] = messages;
    if (first === undefined) return;
    this.#outboxes[group] = [];
    post(this.#ports[group]!, messages.length === 1 ? first : { type: 'batch', messages });
  }

  /** Groups for a torrent, at most `count`, the least loaded first; of equals the first, which is the door and runs anyway. */
  place(torrent: number, count: number): readonly number[] {
    const byLoad = [...this.#loads.keys()].sort((a, b) => this.#loads[a]! - this.#loads[b]!);
    const groups = byLoad.slice(0, count);
    for (const group of groups) this.#loads[group]!++;
    this.#places.set(torrent, groups);
    return groups;
  }

  /** The torrent has ended. */
  displace(torrent: number): void {
    for (const group of this.#places.get(torrent) ?? []) this.#loads[group]!--;
    this.#places.delete(torrent);
  }

  /** Stops every group and waits until their threads are gone. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    for (const [group, port] of this.#ports.entries()) {
      if (port === undefined) continue;
      this.#flush(group);
      post(port, { type: 'stop' });
    }
    await Promise.allSettled(this.#tasks);
    await this.#piscina.destroy();
  }

  #spawn(group: number): void {
    const { port1, port2 } = new MessageChannel();
    const { bind, encryption, options, measure } = this.#settings;
    const start: GroupStart = {
      port: port2,
      group,
      client: `spate ${VERSION}`,
      encryption,
      options,
      ...(bind === undefined ? {} : { bind }),
      ...(measure === true && { measure }),
    };
    let reason = 'its thread ended';
    const filename = (this.#settings.workerUrl ?? BUILT.peerGroup).href;
    const task = this.#piscina.run(start, { filename, name: 'peerGroup', transferList: [port2] }).then(
      () => {},
      (error: unknown) => {
        reason = messageOf(error);
        // A thread that cannot start never closes the port.
        port1.close();
      },
    );
    this.#tasks.add(task);
    task.finally(() => this.#tasks.delete(task));
    port1.on('message', (message: FromGroup) => this.#events.onMessage(group, message));
    port1.once('close', () => {
      if (this.#closing) return;
      // The task's rejection names the cause and settles about now.
      task.finally(() => this.#onDeath(group, reason));
    });
    this.#ports[group] = port1;
    this.#events.onStart(group);
  }

  #onDeath(group: number, reason: string): void {
    if (this.#closing) return;
    // What was for the dead one is no business of its successor.
    this.#outboxes[group] = [];
    const now = performance.now();
    this.#deaths = [...this.#deaths.filter((at) => now - at < DEATHS_WITHIN_MS), now];
    if (this.#deaths.length > DEATHS_TOLERATED) {
      const text = `${this.#deaths.length} worker threads died within a minute, the last one because: ${reason}`;
      this.#events.onFatal(new SpateError('INTERNAL', text));
    } else {
      this.#spawn(group);
    }
    this.#events.onDeath(group, reason);
  }
}
