import { mkdir, readFile, rmdir, stat, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { spate, startSpate } from '../helpers/cli-run.js';
import { smallDisk } from '../helpers/fs-small.js';
import { type ManyTorrents, manyTorrents } from '../helpers/many-torrents.js';

const KIB = 1024;
const LOCAL = ['--bind', '127.0.0.1', '--workers', '1'];

/** State of its own for each test, or the journal of one would be another's. */
const env = ({ folder }: ManyTorrents) => ({ env: { XDG_STATE_HOME: join(folder, 'state') } });

const batch = (many: ManyTorrents, ...args: string[]): string[] => ['batch', '-o', many.out, ...LOCAL, ...args];

interface Report {
  readonly totals: { readonly states: Record<string, number>; readonly downloaded: number };
  readonly items: readonly {
    readonly name: string | null;
    readonly source: string;
    readonly place: string;
    readonly state: string;
    readonly attempts: number;
    readonly error: { readonly code: string } | null;
  }[];
}

const reportOf = async (path: string): Promise<Report> => JSON.parse(await readFile(path, 'utf8')) as Report;

test('a folder of torrents is downloaded, and a second run skips what is done without touching it', async () => {
  const many = await manyTorrents({ count: 30, length: 100 * KIB, pieceLength: 32 * KIB });
  await many.seed();

  const first = await spate(batch(many, many.torrents, '-j', 'auto'), env(many));

  expect(first).toMatchObject({ code: 0, stderr: '' });
  expect(first.stdout).toMatch(/^done 30 torrents, 2\.9 MiB in \d+\.\d+ s \(.*\/s\)\n$/);
  expect(await many.complete()).toHaveLength(30);
  // Whoever looked would find it gone.
  const touched = join(many.out, 't0000');
  await writeFile(touched, 'mine now');
  const second = await spate(batch(many, many.torrents, '--json'), env(many));
  expect(second.code).toBe(0);
  expect(JSON.parse(second.stdout)).toMatchObject({ exitCode: 0, totals: { states: { already: 30 }, downloaded: 0 } });
  expect(await readFile(touched, 'utf8')).toBe('mine now');

  const third = await spate(batch(many, many.torrents, '--check', 'full', '--json'), env(many));
  expect(JSON.parse(third.stdout)).toMatchObject({ totals: { states: { already: 29, done: 1 } } });
});

test('dead, corrupt and invalid torrents cost the others nothing, and each is told of', {
  timeout: 60_000,
}, async () => {
  const [count, dead, corrupt] = [40, new Set([3, 17]), 20];
  const many = await manyTorrents({
    count,
    length: 64 * KIB,
    pieceLength: 32 * KIB,
    announce: ({ httpUrl, udpUrl }, n) => (n % 2 === 0 ? httpUrl : udpUrl),
    spoil: (n, payload) => (n === corrupt ? Buffer.alloc(payload.length) : payload),
  });
  await many.seed(...[...many.items.keys()].filter((n) => !dead.has(n)));
  const list = join(many.folder, 'list.txt');
  const bad = join(many.folder, 'bad.torrent');
  await writeFile(bad, 'd4:infod6:lengthi1eee');
  const lines = [...many.paths, bad, '{"source":1}', many.paths[0]!];
  await writeFile(list, `# everything\n${lines.join('\n')}\n`);
  const files = ['json', 'csv', 'md'].map((ending) => join(many.folder, `report.${ending}`));
  const failed = join(many.folder, 'failed.txt');
  const events = join(many.folder, 'events.jsonl');
  const flags = [
    '--skip-invalid',
    '--retries',
    '1',
    '--retry-wait',
    '100ms',
    '--peer-timeout',
    '3s',
    '--stall-timeout',
    '3s',
  ];

  const { code, stdout, stderr } = await spate(
    batch(
      many,
      list,
      ...flags,
      ...files.flatMap((file) => ['--report', file]),
      '--failed',
      failed,
      `--events=${events}`,
    ),
    env(many),
  );

  expect(code).toBe(7);
  expect(stdout).toMatch(/^done 37 of 42 torrents, .*; 3 failed; 2 invalid\n$/);
  expect(await many.complete()).toHaveLength(count - 3);
  const report = await reportOf(files[0]!);
  expect(report.totals.states).toEqual({ done: 37, failed: 3, duplicate: 1, invalid: 2 });
  const byName = new Map(report.items.map((item) => [item.name, item]));
  for (const n of dead) {
    expect(byName.get(many.items[n]!.name)).toMatchObject({
      state: 'failed',
      attempts: 2,
      place: `${list}:${n + 2}`,
      error: { code: 'UNAVAILABLE' },
    });
  }
  expect(byName.get(many.items[corrupt]!.name)).toMatchObject({ state: 'failed', error: { code: 'BAD_DATA' } });
  expect(report.items.filter(({ state }) => state === 'invalid').map(({ place }) => place)).toEqual([
    `${list}:${count + 2}`,
    `${list}:${count + 3}`,
  ]);
  expect(stderr).toContain(`${list}:${count + 3}: `);
  expect((await readFile(files[1]!, 'utf8')).split('\r\n')).toHaveLength(1 + report.items.length + 1);
  expect(await readFile(files[2]!, 'utf8')).toContain('# Batch');

  const told = (await readFile(events, 'utf8'))
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  expect(told.map(({ seq }) => seq)).toEqual(told.map((_, n) => n + 1));
  expect([told[0].type, told.at(-1).type]).toEqual(['start', 'summary']);
  const count_ = (type: string): number => told.filter((each) => each.type === type).length;
  expect({ added: count_('added'), done: count_('done'), retry: count_('retry') }).toEqual({
    added: 40,
    done: 37,
    retry: 3,
  });

  // What has failed is a list that can be given again, when its seeds are back.
  await many.seed(...dead);
  const again = await spate(batch(many, failed, ...flags, '--json'), env(many));
  expect(JSON.parse(again.stdout)).toMatchObject({ totals: { states: { done: 2, failed: 1 } } });
  expect(await many.complete()).toHaveLength(count - 1);
});

test('one bad line among many is an error with its number, and nothing is fetched', async () => {
  const many = await manyTorrents({ count: 3, length: KIB, pieceLength: 16 * KIB });
  await many.seed();
  const list = join(many.folder, 'list.txt');
  await writeFile(list, [...many.paths, 'nowhere.torrent', ''].join('\n'));

  const { code, stdout, stderr } = await spate(batch(many, list), env(many));

  expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  expect(stderr).toMatch(/^spate: .*list\.txt:4: cannot read nowhere\.torrent: expected a \.torrent file.*\n$/);
  await expect(stat(many.out)).rejects.toMatchObject({ code: 'ENOENT' });
});

test.each([
  ['an empty list', ''],
  ['a list of comments', '# nothing\n\n# here\n'],
])('%s is refused', async (_what, text) => {
  const many = await manyTorrents({ count: 0, length: 0, pieceLength: 16 * KIB });
  const list = join(many.folder, 'list.txt');
  await writeFile(list, text);
  const { code, stderr } = await spate(batch(many, list), env(many));
  expect(code).toBe(3);
  expect(stderr).toMatch(/^spate: .*expected at least one torrent, found none\n$/);
});

test('two items that would write one path are refused, both named', async () => {
  const many = await manyTorrents({ count: 1, length: KIB, pieceLength: 16 * KIB });
  const other = await manyTorrents({ count: 1, length: 2 * KIB, pieceLength: 16 * KIB });
  const { code, stderr } = await spate(batch(many, many.paths[0]!, other.paths[0]!), env(many));
  expect(code).toBe(3);
  expect(stderr).toContain(`would be written where the torrent of ${many.paths[0]} is`);
});

test('so are two whose folders are one by a symlink', async () => {
  const many = await manyTorrents({ count: 1, length: KIB, pieceLength: 16 * KIB });
  const other = await manyTorrents({ count: 1, length: 2 * KIB, pieceLength: 16 * KIB });
  const [list, link] = [join(many.folder, 'list.txt'), join(many.folder, 'link')];
  await symlink('out', link);
  const items = [
    { source: many.paths[0], out: many.out },
    { source: other.paths[0], out: link },
  ];
  await writeFile(list, items.map((item) => JSON.stringify(item)).join('\n'));
  const { code, stderr } = await spate(batch(many, list), env(many));
  expect(code).toBe(3);
  expect(stderr).toContain(`${list}:2: `);
  expect(stderr).toContain(`would be written where the torrent of ${list}:1 is: ${join(link, 't0000')}`);
});

test('stdin is a list that is worked on as it comes', async () => {
  const many = await manyTorrents({ count: 3, length: KIB, pieceLength: 16 * KIB });
  await many.seed();
  const stdin = ['nowhere.torrent', ...many.paths].join('\n');
  const { code, stdout } = await spate(batch(many, '-', '--json'), { ...env(many), stdin });
  expect(code).toBe(7);
  expect(JSON.parse(stdout)).toMatchObject({ totals: { states: { done: 3, invalid: 1 } } });
});

test('a watched folder is worked on until a signal', async () => {
  const many = await manyTorrents({ count: 2, length: KIB, pieceLength: 16 * KIB });
  await many.seed();
  const [first, second] = many.items;
  const watched = many.folder;
  const running = startSpate(batch(many, '--watch', watched, '-v'), env(many));
  await running.said('listening on port');
  await writeFile(join(watched, 'a.torrent'), first!.bytes);
  await running.said(`done ${join(many.out, first!.name)}`);
  await writeFile(join(watched, 'b.torrent'), second!.bytes);
  await running.said(`done ${join(many.out, second!.name)}`);
  running.child.kill('SIGINT');
  const { code, stdout } = await running.ended;
  expect(code).toBe(130);
  expect(stdout).toMatch(/^done 2 torrents, /);
});

test('an interrupted batch says how far it is, and the same command goes on', async () => {
  const many = await manyTorrents({ count: 20, length: 256 * KIB, pieceLength: 32 * KIB, maxUp: 1024 * KIB });
  await many.seed();
  const running = startSpate(batch(many, many.torrents, '-v', '-j', '4', '--json'), env(many));
  await running.said('done ');
  running.child.kill('SIGINT');
  const { code, stdout } = await running.ended;
  expect(code).toBe(130);
  const { states } = (JSON.parse(stdout) as Report).totals;
  expect((states.done ?? 0) + (states.stopped ?? 0) + (states.queued ?? 0)).toBe(20);
  expect(states.queued).toBeGreaterThan(0);
});

test('a deadline ends a batch', async () => {
  const many = await manyTorrents({ count: 3, length: KIB, pieceLength: 16 * KIB });
  await many.seed(0);
  const { code, stdout } = await spate(batch(many, many.torrents, '--deadline', '5s', '--json'), env(many));
  expect(code).toBe(7);
  const { items } = JSON.parse(stdout) as Report;
  expect(items.map(({ state, error }) => [state, error?.code])).toEqual([
    ['done', undefined],
    ['failed', 'STALLED'],
    ['failed', 'STALLED'],
  ]);
});

test('a deadline ends a batch whose stdin goes on, with exit code 5', async () => {
  const many = await manyTorrents({ count: 1, length: KIB, pieceLength: 16 * KIB });
  await many.seed();
  const args = ['-', '--deadline', '3s', '--json'];
  const stdin = `${many.paths[0]}\n`;
  const { code, stdout, stderr } = await spate(batch(many, ...args), { ...env(many), stdin, keepsStdin: true });
  expect(code).toBe(5);
  expect(stderr).toContain('spate: the deadline of 3 s was reached before the list on stdin had ended\n');
  const told = { exitCode: 5, error: { code: 'STALLED' }, totals: { states: { done: 1 } } };
  expect(JSON.parse(stdout)).toMatchObject(told);
});

test.each([
  ['with everything done', [0, 1], 0],
  ['with nothing done', [], 5],
  ['with one done', [0], 7],
])('a deadline ends a watch, %s', async (_what, seeded, expected) => {
  const many = await manyTorrents({ count: 2, length: KIB, pieceLength: 16 * KIB });
  if (seeded.length > 0) await many.seed(...seeded);
  const failed = join(many.folder, 'failed.txt');
  const args = ['--watch', many.torrents, '--deadline', '3s', '--failed', failed];
  expect(await spate(batch(many, ...args), env(many))).toMatchObject({ code: expected });
  expect((await readFile(failed, 'utf8')).split('\n').filter((line) => /^[^#]/.test(line))).toEqual(
    many.paths.filter((_, n) => !(seeded as number[]).includes(n)),
  );
});

test('a disk that is too small ends what has no room on it; with more room the same command finishes', async () => {
  const many = await manyTorrents({ count: 8, length: 256 * KIB, pieceLength: 32 * KIB });
  await many.seed();
  await mkdir(many.out);
  const grow = smallDisk(many.out, 1024);
  const first = await spate(batch(many, many.torrents, '--json'), env(many));
  expect(first.code).toBe(7);
  const { totals, items } = JSON.parse(first.stdout) as Report;
  expect(totals.states).toEqual({ done: 4, failed: 4 });
  expect(new Set(items.map(({ error }) => error?.code))).toEqual(new Set([undefined, 'DISK_FULL']));
  expect(await many.complete()).toHaveLength(4);
  grow(4096);
  const second = await spate(batch(many, many.torrents, '--json'), env(many));
  expect(JSON.parse(second.stdout)).toMatchObject({ exitCode: 0, totals: { states: { already: 4, done: 4 } } });
  expect(await many.complete()).toHaveLength(8);
});

test('each of two shards takes its part, together they take all', async () => {
  const many = await manyTorrents({ count: 12, length: KIB, pieceLength: 16 * KIB });
  await many.seed();
  const runs = await Promise.all(
    ['1/2', '2/2'].map((shard) => spate(batch(many, many.torrents, '--shard', shard, '--json'), env(many))),
  );
  const done = runs.map(({ stdout }) => (JSON.parse(stdout) as Report).totals.states.done ?? 0);
  expect(runs.map(({ code }) => code)).toEqual([0, 0]);
  expect(done[0]! + done[1]!).toBe(12);
  expect(await many.complete()).toHaveLength(12);
});

test('killed again and again, a batch of 200 is finished by the same command, and nothing that is done is fetched twice', async () => {
  const [count, length] = [200, 64 * KIB];
  const many = await manyTorrents({ count, length, pieceLength: 32 * KIB });
  await many.seed();
  const command = batch(many, many.torrents, '-v');
  let kills = 0;
  for (const dones of [1, 20, 50]) {
    const running = startSpate(command, env(many));
    // After so many are done in this run; one that finishes before was too fast to be killed.
    const enough = new Promise<void>((resolve) => {
      running.child.stderr!.on('data', () => {
        if (running.text().split('\ndone ').length > dones) resolve();
      });
    });
    await Promise.race([enough, running.ended]);
    if (running.child.kill('SIGKILL')) kills++;
    await running.ended;
  }
  expect(kills).toBeGreaterThan(0);

  const { code, stdout } = await spate(batch(many, many.torrents, '--json'), env(many));

  expect(code).toBe(0);
  const { states } = (JSON.parse(stdout) as Report).totals;
  expect((states.done ?? 0) + (states.already ?? 0)).toBe(count);
  expect(states.already).toBeGreaterThanOrEqual(60);
  expect(await many.complete()).toHaveLength(count);
  // What was under way at a kill may have been on its way, no more than all that may be at a time.
  expect(many.uploaded()).toBeLessThan(count * length * 1.5);
});

describe('a report and a list of the failed', () => {
  /** Sound files of an earlier run, and the flags that name them. */
  async function leftBefore({ folder }: ManyTorrents) {
    const [report, failed] = [join(folder, 'report.json'), join(folder, 'failed.txt')] as const;
    for (const path of [report, failed]) await writeFile(path, 'of the last run');
    const read = () => Promise.all([report, failed].map((path) => readFile(path, 'utf8')));
    return { report, failed, flags: ['--report', report, '--failed', failed], read };
  }

  test('stay as they are when a run fails before it begins', async () => {
    const many = await manyTorrents({ count: 1, length: KIB, pieceLength: 16 * KIB });
    const { flags, read } = await leftBefore(many);
    const busy = createServer();
    await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void busy.close());
    const { port } = busy.address() as AddressInfo;
    const args = [many.torrents, join(many.folder, 'nowhere'), '--skip-invalid', '--port', String(port), ...flags];
    expect(await spate(batch(many, ...args), env(many))).toMatchObject({ code: 10 });
    expect(await read()).toEqual(['of the last run', 'of the last run']);
  });

  test('stay as they are when there is nothing on stdin, which is refused as an empty list is', async () => {
    const many = await manyTorrents({ count: 0, length: 0, pieceLength: 16 * KIB });
    const { flags, read } = await leftBefore(many);
    expect(await spate(batch(many, '-', ...flags), { ...env(many), stdin: '# nothing\n' })).toEqual({
      code: 3,
      stdout: '',
      stderr: 'spate: there is no torrent in what was given\n',
    });
    expect(await read()).toEqual(['of the last run', 'of the last run']);
  });

  test('tell of all that was refused, when that is all there was', async () => {
    const many = await manyTorrents({ count: 0, length: 0, pieceLength: 16 * KIB });
    const { report, failed, flags } = await leftBefore(many);
    const list = join(many.folder, 'list.txt');
    await writeFile(list, 'nowhere.torrent\n');
    const runs = [batch(many, list, ...flags), batch(many, list, '--skip-invalid', ...flags)];
    for (const run of runs) {
      expect(await spate(run, env(many))).toMatchObject({ code: 3 });
      expect((await reportOf(report)).totals.states).toEqual({ invalid: 1 });
      expect(await readFile(failed, 'utf8')).toMatch(/\nnowhere\.torrent\n$/);
    }
  });

  test.each(['--failed', '--report', '--events'])('are no source: %s is refused when it is one', async (flag) => {
    const many = await manyTorrents({ count: 1, length: KIB, pieceLength: 16 * KIB });
    const [list, link] = [join(many.folder, 'list.json'), join(many.folder, 'link.json')];
    const text = `${many.paths[0]}\nnowhere.torrent\n`;
    await writeFile(list, text);
    await symlink(list, link);
    const { code, stderr } = await spate(batch(many, list, `${flag}=${link}`), env(many));
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `spate: expected a file of its own to write to, got ${link}, which is the source ${list} itself\n`,
    });
    expect(await readFile(list, 'utf8')).toBe(text);
  });

  test('that cannot be written in the end are exit code 8, and so says the summary', async () => {
    const many = await manyTorrents({ count: 1, length: KIB, pieceLength: 16 * KIB });
    await many.seed();
    const [gone, events] = [join(many.folder, 'gone'), join(many.folder, 'events.jsonl')];
    await mkdir(gone);
    const flags = ['--report', join(gone, 'r.json'), `--events=${events}`, '--json', '-v'];
    const running = startSpate(batch(many, '-', ...flags), { ...env(many), keepsStdin: true });
    await running.said('listening on port');
    await rmdir(gone);
    running.child.stdin!.end(many.paths[0]);
    const { code, stdout } = await running.ended;
    expect(code).toBe(8);
    const told = { exitCode: 8, error: { code: 'LOCAL_IO' }, totals: { states: { done: 1 } } };
    expect(JSON.parse(stdout)).toMatchObject(told);
    const [summary] = (await readFile(events, 'utf8')).trimEnd().split('\n').slice(-1);
    expect(JSON.parse(summary!)).toMatchObject({ type: 'summary', ...told });
  });
});
