// A `Disk` that works on the real file system, writes down what was asked of it, and fails, stops short or waits when told.
import { type Disk, nodeDisk } from '../../src/storage/disk.js';

export interface DiskCall {
  readonly name: keyof Disk;
  readonly path: string;
  /** Of a read or write; the new length for `ftruncate`. */
  readonly position?: number;
  /** Length of each view. */
  readonly lengths?: readonly number[];
}

/** What happens instead of, or before, the real call. */
export type Intervention =
  /** It fails with this code. */
  | string
  /** A read or write that moves no more than this many bytes. */
  | number
  /** The call is made when this resolves. */
  | Promise<void>;

export class RecordingDisk implements Disk {
  readonly calls: DiskCall[] = [];
  /** Descriptors being opened, open or being closed, and the most there ever were. */
  openCount = 0;
  maxOpen = 0;
  /** Reads and writes under way, and the most there ever were. */
  moving = 0;
  maxMoving = 0;
  /** Asked before each call. */
  intervene: (call: DiskCall) => Intervention | undefined = () => undefined;
  readonly #paths = new Map<number, string>();

  named(name: keyof Disk): DiskCall[] {
    return this.calls.filter((call) => call.name === name);
  }

  readonly open: Disk['open'] = (path, flags, mode, done) => {
    this.openCount++;
    this.maxOpen = Math.max(this.maxOpen, this.openCount);
    const ended: typeof done = (error, fd) => {
      if (error === null) this.#paths.set(fd, path);
      else this.openCount--;
      done(error, fd);
    };
    this.#make({ name: 'open', path }, ended, (finish) => nodeDisk.open(path, flags, mode, finish));
  };

  readonly close: Disk['close'] = (fd, done) => {
    const path = this.#pathOf(fd);
    // Forgotten at once: the number may be in use again before the answer is here.
    this.#paths.delete(fd);
    const ended = (error: NodeJS.ErrnoException | null): void => {
      this.openCount--;
      done(error);
    };
    this.#make({ name: 'close', path }, ended, (finish) => nodeDisk.close(fd, finish as () => void));
  };

  readonly fstat: Disk['fstat'] = (fd, done) => {
    this.#make({ name: 'fstat', path: this.#pathOf(fd) }, done, (finish) => nodeDisk.fstat(fd, finish));
  };

  readonly ftruncate: Disk['ftruncate'] = (fd, length, done) => {
    const call: DiskCall = { name: 'ftruncate', path: this.#pathOf(fd), position: length };
    this.#make(call, done as () => void, (finish) => nodeDisk.ftruncate(fd, length, finish as () => void));
  };

  readonly fdatasync: Disk['fdatasync'] = (fd, done) => {
    const call: DiskCall = { name: 'fdatasync', path: this.#pathOf(fd) };
    this.#make(call, done as () => void, (finish) => nodeDisk.fdatasync(fd, finish as () => void));
  };

  readonly fsync: Disk['fsync'] = (fd, done) => {
    const call: DiskCall = { name: 'fsync', path: this.#pathOf(fd) };
    this.#make(call, done as () => void, (finish) => nodeDisk.fsync(fd, finish as () => void));
  };

  readonly rename: Disk['rename'] = (from, to, done) => {
    this.#make({ name: 'rename', path: to }, done as () => void, (finish) =>
      nodeDisk.rename(from, to, finish as () => void),
    );
  };

  readonly lstat: Disk['lstat'] = (path, done) => {
    this.#make({ name: 'lstat', path }, done, (finish) => nodeDisk.lstat(path, finish));
  };

  readonly mkdir: Disk['mkdir'] = (path, done) => {
    this.#make({ name: 'mkdir', path }, done as () => void, (finish) => nodeDisk.mkdir(path, finish as () => void));
  };

  readonly realpath: Disk['realpath'] = (path, done) => {
    this.#make({ name: 'realpath', path }, done, (finish) => nodeDisk.realpath(path, finish));
  };

  readonly writev: Disk['writev'] = (fd, views, position, done) => this.#move('writev', fd, views, position, done);

  readonly readv: Disk['readv'] = (fd, views, position, done) => this.#move('readv', fd, views, position, done);

  #move(
    name: 'writev' | 'readv',
    fd: number,
    views: readonly Uint8Array[],
    position: number,
    done: (error: NodeJS.ErrnoException | null, value: number) => void,
  ): void {
    const call: DiskCall = { name, path: this.#pathOf(fd), position, lengths: views.map((view) => view.byteLength) };
    this.moving++;
    this.maxMoving = Math.max(this.maxMoving, this.moving);
    const ended: typeof done = (error, value) => {
      this.moving--;
      done(error, value);
    };
    this.#make(call, ended, (finish, limit) => nodeDisk[name](fd, firstBytes(views, limit), position, finish));
  }

  #pathOf(fd: number): string {
    const path = this.#paths.get(fd);
    if (path === undefined) throw new Error(`descriptor ${fd} is not open`);
    return path;
  }

  #make<T>(
    call: DiskCall,
    done: (error: NodeJS.ErrnoException | null, value: T) => void,
    real: (finish: (error: NodeJS.ErrnoException | null, value?: T) => void, limit: number) => void,
  ): void {
    this.calls.push(call);
    const finish = (error: NodeJS.ErrnoException | null, value?: T): void => done(error, value as T);
    const intervention = this.intervene(call);
    if (typeof intervention === 'string') {
      const error = Object.assign(new Error(`${intervention}: made up, ${call.name}`), { code: intervention });
      setImmediate(() => finish(error));
    } else if (typeof intervention === 'object') {
      void intervention.then(() => real(finish, Number.POSITIVE_INFINITY));
    } else {
      real(finish, intervention ?? Number.POSITIVE_INFINITY);
    }
  }
}

/** Views on the first `limit` bytes. */
function firstBytes(views: readonly Uint8Array[], limit: number): Uint8Array[] {
  let left = limit;
  const first: Uint8Array[] = [];
  for (const view of views) {
    const length = Math.min(view.byteLength, left);
    if (length > 0) first.push(view.subarray(0, length));
    left -= length;
  }
  return first;
}

/** A promise and the function that resolves it. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
