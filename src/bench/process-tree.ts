/**
 * What a client costs: the processor time and the memory of all its processes, those included that have left their parent, as
 * daemons do. A process belongs to it when its parent does, or when the mark of the run is in the environment it was started with.
 * Read from `/proc`, so on Linux only; nothing here starts or ends a process.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Usage {
  /** User and system time of all processes, those included that have ended. */
  readonly cpuSeconds: number;
  /** Most that the living ones had resident at once, each with its own high-water mark: mapped files count. */
  readonly peakRssBytes: number;
}

interface Seen {
  /** Tells two processes of one id apart. */
  readonly start: string;
  /** Clock ticks of its own. */
  own: number;
  /** Of the children it has waited for, and of theirs. */
  reaped: number;
  rssBytes: number;
  isZombie: boolean;
  /** Whoever waits for it is of the tree as well, and takes over what it has used. */
  hasParentInTree: boolean;
}

/** Of `/proc`, whatever the kernel counts in. */
const TICKS_PER_SECOND = 100;

export class ProcessTree {
  readonly #holder: number;
  readonly #mark: string;
  readonly #proc: string;
  readonly #seen = new Map<number, Seen>();
  /** Processes that are of no concern, by id with their start. */
  readonly #strangers = new Map<number, string>();
  /** What the holder's children have used that it has waited for. */
  #held = 0;
  /** What those have used that nobody in the tree waits for, and that are gone. */
  #lost = 0;
  #peakRssBytes = 0;

  /**
   * @param holder process that has started the tree and stays until it has been looked at for the last time; not counted itself
   * @param mark `NAME=value`, in the environment of whatever the holder starts
   */
  constructor(holder: number, mark: string, proc = '/proc') {
    this.#holder = holder;
    this.#mark = mark;
    this.#proc = proc;
  }

  /** Looks at the known processes: often, for the memory they take meanwhile. */
  glance(): void {
    const holder = this.#stat(this.#holder);
    if (holder !== undefined) this.#held = holder.reaped;
    for (const pid of [...this.#seen.keys()]) this.#update(pid);
    let rssBytes = 0;
    for (const seen of this.#seen.values()) rssBytes += seen.rssBytes;
    this.#peakRssBytes = Math.max(this.#peakRssBytes, rssBytes);
  }

  /** As `glance`, after a search for processes that are new. */
  look(): void {
    const present = new Set<number>();
    for (const name of readdirSync(this.#proc)) {
      const pid = Number(name);
      if (!Number.isInteger(pid) || pid === this.#holder) continue;
      present.add(pid);
      if (!this.#seen.has(pid)) this.#consider(pid);
    }
    for (const pid of this.#strangers.keys()) if (!present.has(pid)) this.#strangers.delete(pid);
    this.glance();
  }

  /** As of the last look. */
  usage(): Usage {
    let ticks = this.#held + this.#lost;
    for (const { own, reaped } of this.#seen.values()) ticks += own + reaped;
    return { cpuSeconds: ticks / TICKS_PER_SECOND, peakRssBytes: this.#peakRssBytes };
  }

  /** Processes that live, as of the last look. */
  pids(): number[] {
    return [...this.#seen].filter(([, { isZombie }]) => !isZombie).map(([pid]) => pid);
  }

  #consider(pid: number): void {
    const stat = this.#stat(pid);
    if (stat === undefined || this.#strangers.get(pid) === stat.start) return;
    if (!this.#isInTree(stat.parent) && !this.#isMarked(pid)) {
      this.#strangers.set(pid, stat.start);
      return;
    }
    const { start } = stat;
    this.#seen.set(pid, { start, own: 0, reaped: 0, rssBytes: 0, isZombie: false, hasParentInTree: true });
  }

  #update(pid: number): void {
    const seen = this.#seen.get(pid)!;
    const stat = this.#stat(pid);
    if (stat === undefined || stat.start !== seen.start) {
      if (!seen.hasParentInTree) this.#lost += seen.own + seen.reaped;
      this.#seen.delete(pid);
      return;
    }
    seen.own = stat.own;
    seen.reaped = stat.reaped;
    seen.isZombie = stat.isZombie;
    seen.hasParentInTree = this.#isInTree(stat.parent);
    seen.rssBytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(this.#read(pid, 'status'))?.[1] ?? 0) * 1024;
  }

  #isInTree(parent: number): boolean {
    return parent === this.#holder || this.#seen.has(parent);
  }

  #isMarked(pid: number): boolean {
    return `\0${this.#read(pid, 'environ')}\0`.includes(`\0${this.#mark}\0`);
  }

  #stat(pid: number) {
    const text = this.#read(pid, 'stat');
    // The name, in parentheses, may hold spaces and parentheses.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    if (fields.length < 20) return undefined;
    const sum = (a: number, b: number): number => Number(fields[a]) + Number(fields[b]);
    return {
      isZombie: fields[0] === 'Z' || fields[0] === 'X',
      parent: Number(fields[1]),
      own: sum(11, 12),
      reaped: sum(13, 14),
      start: fields[19]!,
    };
  }

  /** Nothing when the process is gone, or somebody else's. */
  #read(pid: number, file: string): string {
    try {
      return readFileSync(join(this.#proc, String(pid), file), 'latin1');
    } catch {
      return '';
    }
  }
}
