import { mkdir, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Batch, type BatchEvent, type BatchSettings } from '../../../src/batch/batch.js';
import type { Checked } from '../../../src/batch/entry.js';
import { Journal } from '../../../src/batch/journal.js';
import { SpateError } from '../../../src/errors.js';
import type { Download, DownloadSettings, DownloadState, Metainfo } from '../../../src/session.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';
import { smallTorrent } from '../../helpers/small-torrent.js';

// A batch on a session that does what a test says: what is started when, and what becomes of what has failed.

const LENGTH = 1000;

/** A download whose end the test decides. */
class FakeDownload {
  readonly name: string;
  readonly settings: DownloadSettings;
  readonly done: Promise<void>;
  readonly ended: Promise<void>;
  downloaded = 0;
  uploaded = 0;
  state: DownloadState = 'checking';
  /** Of a torrent that claims to be longer than it is. */
  length = LENGTH;
  stops = 0;
  #settle!: { done: () => void; fail: (error: SpateError) => void };
  #end!: () => void;

  constructor(metainfo: Metainfo, settings: DownloadSettings) {
    this.name = metainfo.name;
    this.settings = settings;
    this.done = new Promise((resolve, reject) => {
      this.#settle = { done: resolve, fail: reject };
    });
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.done.catch(() => {});
  }

  stats() {
    const { downloaded, uploaded } = this;
    return { downloaded, uploaded, wasted: 0, have: downloaded, left: this.length - downloaded };
  }

  checked(pieces = 0): void {
    this.settings.onEvent?.({ type: 'checked', pieces, of: 1, trusted: 0 });
  }

  finish(downloaded = LENGTH): void {
    this.downloaded = downloaded;
    this.#settle.done();
    if (this.settings.seed !== true) this.#end();
  }

  fail(error: SpateError): void {
    this.#settle.fail(error);
    this.#end();
  }

  async stop(): Promise<void> {
    this.stops++;
    this.fail(new SpateError('CLOSED', 'stopped'));
  }
}

let folder: string;
let out: string;
let downloads: FakeDownload[];
let events: string[];
let addError: SpateError | undefined;

beforeEach(async () => {
  folder = await temporaryFolder();
  out = join(folder, 'out');
  downloads = [];
  events = [];
  addError = undefined;
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
});

afterEach(() => {
  vi.useRealTimers();
});

function create(settings: Partial<BatchSettings> = {}): Batch {
  return new Batch({
    session: {
      add: (torrent, download) => {
        if (addError !== undefined) throw addError;
        const fake = new FakeDownload(torrent as Metainfo, download);
        downloads.push(fake);
        return fake as unknown as Download;
      },
    },
    trustJournal: true,
    out,
    download: {},
    jobs: 2,
    cores: 2,
    metaJobs: 64,
    checkJobs: 1,
    order: 'list',
    stallAction: 'requeue',
    retries: 3,
    retryWaitMs: 1000,
    itemDeadlineMs: 0,
    minFree: 0,
    random: () => 0,
    now: () => performance.now(),
    onEvent: (item, event: BatchEvent) => events.push(`${item.name} ${event.type}`),
    ...settings,
  });
}

let seed = 0;

async function torrent(name: string): Promise<Checked> {
  const made = smallTorrent(LENGTH, 16_384, { name, seed: ++seed });
  const source = join(folder, `${name}.torrent`);
  await writeFile(source, made.bytes);
  return {
    entry: { place: { file: source }, source },
    infohash: made.infohash.toString('hex'),
    name,
    length: LENGTH,
    pieceLength: 16_384,
  };
}

const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000, interval: 5 });

/** Lets the file system calls of a start come back. */
const started = (count: number): Promise<void> => until(() => expect(downloads).toHaveLength(count));

/** The latest download of an item: several that start together come in any order. */
const of = (name: string): FakeDownload => downloads.findLast((each) => each.name === name)!;

const pass = (ms: number): void => {
  vi.advanceTimersByTime(ms);
};

const stalled = (): SpateError => new SpateError('STALLED', '300 s without a byte');

describe('Batch', () => {
  it('runs so many at a time, the next one when one is done, and is done with the last', async () => {
    const batch = create();
    for (const name of ['a', 'b', 'c']) batch.add(await torrent(name));
    await started(2);
    expect(downloads.map(({ name }) => name).sort()).toEqual(['a', 'b']);
    expect(of('a').settings).toMatchObject({ out, seed: false });
    of('a').finish();
    await started(3);
    batch.end();
    of('b').finish();
    of('c').finish();
    await batch.done;
    expect(batch.items.map(({ state }) => state)).toEqual(['done', 'done', 'done']);
    expect(batch.tally).toEqual({ done: 3, failed: 0, downloaded: 3 * LENGTH });
    expect(events.filter((event) => event.startsWith('a '))).toEqual(['a added', 'a started', 'a metadata', 'a done']);
  });

  it('is done at once without an item', async () => {
    const batch = create();
    batch.end();
    await batch.done;
  });

  it('says of one that was complete on disk that it was there already', async () => {
    const batch = create();
    batch.add(await torrent('a'));
    batch.end();
    await started(1);
    downloads[0]!.checked(1);
    downloads[0]!.finish(0);
    await batch.done;
    expect(batch.items[0]!.toRow()).toMatchObject({ state: 'already', have: LENGTH });
  });

  it('tries a stalled one again, after waits that double, until it has failed too often in a row', async () => {
    const batch = create({ retries: 2 });
    batch.add(await torrent('a'));
    batch.end();
    for (const [attempt, wait] of [
      [1, 1000],
      [2, 2000],
      [3, 0],
    ] as const) {
      await started(attempt);
      downloads[attempt - 1]!.fail(stalled());
      if (wait === 0) break;
      await until(() => expect(batch.counts.waiting).toBe(1));
      pass(wait - 200);
      expect(batch.counts.waiting).toBe(1);
      pass(200);
    }
    await batch.done;
    expect(batch.items[0]!.toRow()).toMatchObject({ state: 'failed', attempts: 3, error: { code: 'STALLED' } });
    expect(events.filter((event) => event === 'a retry')).toHaveLength(2);
  });

  it('does not count an attempt that brought a piece', async () => {
    const batch = create({ retries: 0 });
    batch.add(await torrent('a'));
    batch.end();
    for (let attempt = 1; attempt <= 3; attempt++) {
      await started(attempt);
      downloads.at(-1)!.checked();
      downloads.at(-1)!.downloaded = 10;
      downloads.at(-1)!.fail(stalled());
      await until(() => expect(batch.counts.waiting).toBe(1));
      pass(1000);
    }
    await started(4);
    downloads.at(-1)!.fail(stalled());
    await batch.done;
    expect(batch.items[0]!.toRow()).toMatchObject({ state: 'failed', attempts: 4, downloaded: 30 });
  });

  it('gives a stalled one up when told so, and tries an unreachable one again all the same', async () => {
    const batch = create({ stallAction: 'fail', retries: 1 });
    batch.add(await torrent('a'));
    batch.add(await torrent('b'));
    batch.end();
    await started(2);
    of('a').fail(stalled());
    of('b').fail(new SpateError('UNAVAILABLE', 'no peer'));
    await until(() => expect(batch.counts).toMatchObject({ over: 1, waiting: 1 }));
    pass(1000);
    await started(3);
    downloads[2]!.finish();
    await batch.done;
    expect(batch.items.map(({ state }) => state)).toEqual(['failed', 'done']);
    expect(batch.items[1]!.toRow().error).toBeNull();
  });

  it('does not try again what another try cannot mend, and goes on with the others', async () => {
    const batch = create({ jobs: 1 });
    batch.add(await torrent('a'));
    batch.add(await torrent('b'));
    batch.end();
    await started(1);
    downloads[0]!.fail(new SpateError('DISK_FULL', 'cannot write'));
    await started(2);
    downloads[1]!.finish();
    await batch.done;
    expect(batch.items.map(({ state }) => state)).toEqual(['failed', 'done']);
  });

  it('fails one that the session does not take, or whose torrent is gone or another one', async () => {
    const batch = create({ jobs: 10 });
    addError = new SpateError('USAGE', 'no');
    batch.add(await torrent('refused'));
    await until(() => expect(batch.items[0]!.state).toBe('failed'));
    addError = undefined;
    const gone = await torrent('gone');
    batch.add({ ...gone, entry: { ...gone.entry, source: join(folder, 'nowhere') } });
    const other = await torrent('other');
    batch.add({ ...other, infohash: '00'.repeat(20) });
    batch.end();
    await batch.done;
    expect(batch.items.map(({ error }) => (error as SpateError).code)).toEqual([
      'USAGE',
      'INVALID_TORRENT',
      'INVALID_TORRENT',
    ]);
  });

  it('starts nothing that the disk has no room for', async () => {
    const batch = create({ minFree: Number.MAX_SAFE_INTEGER });
    batch.add(await torrent('a'));
    batch.end();
    await batch.done;
    expect(downloads).toEqual([]);
    expect(batch.items[0]!.toRow()).toMatchObject({ state: 'failed', error: { code: 'DISK_FULL' } });
  });

  it('hashes so many at a time: another with data waits, one without does not', async () => {
    const batch = create({ jobs: 10, checkJobs: 1 });
    await mkdir(out);
    for (const name of ['a', 'b']) await writeFile(join(out, name), 'something');
    batch.add(await torrent('a'));
    await started(1);
    for (const name of ['b', 'c']) batch.add(await torrent(name));
    await started(2);
    expect(downloads.map(({ name }) => name)).toEqual(['a', 'c']);
    of('a').checked();
    await started(3);
    expect(batch.counts).toMatchObject({ checking: 2, downloading: 1 });
    await batch.stop();
  });

  it.each([
    ['full', 'started'],
    ['sparse', 'failed'],
  ] as const)('with --alloc %s another that needs the room of one under way has %s', async (alloc, outcome) => {
    const { bavail, bsize } = await statfs(folder);
    const length = Math.floor(bavail * bsize * 0.6);
    const batch = create({ download: { alloc } });
    batch.add({ ...(await torrent('a')), length });
    await started(1);
    Object.assign(downloads[0]!, { length, state: 'downloading' });
    downloads[0]!.checked();
    pass(200);
    batch.add({ ...(await torrent('b')), length });
    await until(() => expect(events).toContain(`b ${outcome}`));
    if (outcome === 'started') await started(2);
    await batch.stop();
  });

  it('gives the place of an idle one to the next, and keeps it', async () => {
    const batch = create({ jobs: 1 });
    batch.add(await torrent('a'));
    batch.add(await torrent('b'));
    await started(1);
    downloads[0]!.checked();
    pass(2200);
    await started(2);
    expect(downloads[0]!.stops).toBe(0);
    expect(batch.counts.downloading).toBe(1);
    await batch.stop();
  });

  it('does not count the wait for others to be hashed as time in the session', async () => {
    const batch = create({ jobs: 10, checkJobs: 1, itemDeadlineMs: 5000 });
    await mkdir(out);
    for (const name of ['a', 'b']) await writeFile(join(out, name), 'something');
    batch.add(await torrent('a'));
    await started(1);
    batch.add(await torrent('b'));
    await until(() => expect(events).toContain('b metadata'));
    pass(4000);
    of('a').checked();
    await started(2);
    pass(4000);
    expect([of('a').stops > 0, of('b').stops]).toEqual([true, 0]);
    pass(2000);
    expect(of('b').stops).toBeGreaterThan(0);
    await batch.stop();
  });

  it('gives one up after its deadline, waits not counted', async () => {
    const batch = create({ itemDeadlineMs: 5000 });
    batch.add(await torrent('a'));
    batch.end();
    await started(1);
    downloads[0]!.checked();
    pass(3000);
    downloads[0]!.fail(stalled());
    await until(() => expect(batch.counts.waiting).toBe(1));
    pass(1000);
    await started(2);
    pass(1800);
    expect(downloads[1]!.stops).toBe(0);
    pass(400);
    expect(downloads[1]!.stops).toBeGreaterThan(0);
    await batch.done;
    expect(batch.items[0]!.toRow()).toMatchObject({
      state: 'failed',
      error: { code: 'STALLED', message: 'not done after 5 s' },
    });
  });

  it('stops: what is under way is stopped, what waits is not started', async () => {
    const batch = create({ jobs: 1 });
    batch.add(await torrent('a'));
    batch.add(await torrent('b'));
    await started(1);
    await batch.stop();
    await batch.done;
    expect(batch.items.map(({ state }) => state)).toEqual(['stopped', 'queued']);
    expect(downloads).toHaveLength(1);
  });

  it('stops with a reason: everything that is not done has failed for it', async () => {
    const batch = create({ jobs: 1 });
    for (const name of ['a', 'b', 'c']) batch.add(await torrent(name));
    await started(1);
    downloads[0]!.finish();
    await started(2);
    const reason = new SpateError('STALLED', 'the deadline was reached');
    const stopped = batch.stop(reason);
    batch.add(await torrent('d'));
    await stopped;
    batch.add(await torrent('e'));
    expect(batch.items.map(({ state }) => state)).toEqual(['done', 'failed', 'failed', 'failed', 'failed']);
    expect(batch.items.slice(1).map(({ error }) => error)).toEqual(Array(4).fill(reason));
    expect(batch.tally).toMatchObject({ done: 1, failed: 4 });
  });

  it('seeds what is done until it has given enough or long enough, and the next takes its place', async () => {
    const batch = create({ jobs: 1, seed: { jobs: 10, ratio: 2, ms: 10_000 } });
    for (const name of ['a', 'b']) batch.add(await torrent(name));
    batch.end();
    await started(1);
    downloads[0]!.finish();
    await started(2);
    expect(batch.counts.seeding).toBe(1);
    downloads[1]!.finish();
    await until(() => expect(batch.counts.seeding).toBe(2));
    downloads[0]!.uploaded = 2 * LENGTH;
    pass(200);
    expect([downloads[0]!.stops, downloads[1]!.stops]).toEqual([1, 0]);
    pass(10_000);
    await batch.done;
    expect(batch.items.map((item) => item.toRow())).toMatchObject([
      { state: 'done', uploaded: 2 * LENGTH },
      { state: 'done', uploaded: 0 },
    ]);
  });

  it('lets as many seeds go as are too many, however long the oldest take to leave', async () => {
    const batch = create({ jobs: 3, seed: { jobs: 1, ratio: 2, ms: 1e9 } });
    for (const name of ['a', 'b', 'c']) batch.add(await torrent(name));
    await started(3);
    for (const download of downloads) download.stop = async () => void download.stops++;
    for (const name of ['a', 'b', 'c']) {
      of(name).finish();
      await until(() => expect(events).toContain(`${name} done`));
    }
    await until(() => expect([of('a').stops > 0, of('b').stops > 0, of('c').stops]).toEqual([true, true, 0]));
    for (const download of downloads) download.fail(new SpateError('CLOSED', 'stopped'));
    await batch.stop();
  });

  it('reports what a seed was given while it left', async () => {
    const batch = create({ seed: { jobs: 1, ratio: 2, ms: 1000 } });
    batch.add(await torrent('a'));
    batch.end();
    await started(1);
    const [download] = downloads;
    download!.finish();
    await until(() => expect(batch.counts.seeding).toBe(1));
    download!.stop = async () => {
      download!.uploaded = 77;
      download!.fail(new SpateError('CLOSED', 'stopped'));
    };
    pass(1200);
    await batch.done;
    expect(batch.items[0]!.toRow()).toMatchObject({ state: 'done', uploaded: 77 });
  });

  it('lets the oldest of too many seeds go', async () => {
    const batch = create({ jobs: 1, seed: { jobs: 1, ratio: 2, ms: 1e9 } });
    for (const name of ['a', 'b']) batch.add(await torrent(name));
    await started(1);
    downloads[0]!.finish();
    await started(2);
    downloads[1]!.finish();
    await until(() => expect(downloads[0]!.stops).toBe(1));
    expect(downloads[1]!.stops).toBe(0);
    await batch.stop();
  });

  describe('with a journal', () => {
    const open = (): Promise<Journal> =>
      Journal.open({
        path: join(folder, 'journal'),
        lockFolder: join(folder, 'locks'),
        random: Math.random,
        onWarning: (message) => events.push(message),
      });

    it('skips what is done without a look at it, and tries again what has failed', async () => {
      const [a, b] = [await torrent('a'), await torrent('b')];
      const journal = await open();
      const first = create({ journal });
      first.add(a);
      first.add(b);
      first.end();
      await started(2);
      of('a').finish();
      of('b').fail(new SpateError('LOCAL_IO', 'cannot write'));
      await first.done;
      await journal.close();

      const again = await open();
      const second = create({ journal: again });
      second.add({ ...a, entry: { ...a.entry, source: join(folder, 'nowhere') } });
      second.add(b);
      second.end();
      await started(3);
      expect(downloads[2]!.name).toBe('b');
      expect(second.tally.done).toBe(1);
      downloads[2]!.finish();
      await second.done;
      await again.close();
      expect(second.items.map(({ state }) => state)).toEqual(['already', 'done']);
    });

    it('looks at everything when it is not trusted, and for another folder', async () => {
      const a = await torrent('a');
      const journal = await open();
      const first = create({ journal });
      first.add(a);
      first.end();
      await started(1);
      downloads[0]!.finish();
      await first.done;
      await journal.close();
      const again = await open();
      for (const settings of [{ trustJournal: false }, { out: join(folder, 'elsewhere') }]) {
        const before = downloads.length;
        const next = create({ journal: again, ...settings });
        next.add(a);
        await started(before + 1);
        await next.stop();
      }
      await again.close();
    });
  });
});
