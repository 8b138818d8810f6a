import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { formatPlace, isRefused, refusedText } from '../../../src/batch/entry.js';
import { readInputs, streamInput } from '../../../src/batch/inputs.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';
import { smallTorrent } from '../../helpers/small-torrent.js';

const never = new AbortController().signal;

/** A folder with torrents `a`, `b`, ... */
async function folderWith(...names: readonly string[]): Promise<string> {
  const folder = await temporaryFolder();
  for (const [i, name] of names.entries()) {
    const bytes = smallTorrent(i + 1, 16_384, { name, seed: i + 1 }).bytes;
    await writeFile(join(folder, `${name}.torrent`), bytes);
  }
  return folder;
}

/** `place: name` of what is sound, the texts of what is not; paths below the folder. */
async function told(folder: string, ...args: readonly string[]) {
  const { checked, refused } = await readInputs(args, never);
  const short = (text: string): string => text.replaceAll(`${folder}/`, '');
  return {
    checked: checked.map(({ entry, name }) => short(`${formatPlace(entry.place)}: ${name}`)),
    refused: refused.map((each) => short(refusedText(each))),
  };
}

describe('an argument', () => {
  it('is a .torrent, a folder, a glob or a list, in the order they are given', async () => {
    const folder = await folderWith('a', 'b', 'c');
    const list = join(folder, 'list.txt');
    await writeFile(list, '# two\nc.torrent\nnone.torrent\n{"source":"a.torrent","id":"7"}\n{\n');
    expect(await told(folder, list, join(folder, 'b.torrent'), folder, join(folder, '[bc].*'))).toEqual({
      checked: [
        'list.txt:2: c',
        'list.txt:4: a',
        ...['b.torrent: b'],
        ...['a.torrent: a', 'b.torrent: b', 'c.torrent: c'],
        ...['b.torrent: b', 'c.torrent: c'],
      ],
      refused: [
        expect.stringMatching(/^list\.txt:3: cannot read none\.torrent: /),
        expect.stringMatching(/^list\.txt:5: expected a JSON object on one line: /),
      ],
    });
  });

  it('with a name that looks like a glob is the file when there is one', async () => {
    const folder = await folderWith('[x] a');
    expect(await told(folder, join(folder, '[x] a.torrent'))).toEqual({
      checked: ['[x] a.torrent: [x] a'],
      refused: [],
    });
  });

  it('is a torrent by its bytes or by its name', async () => {
    const folder = await folderWith('a');
    await writeFile(join(folder, 'no-name'), smallTorrent(9, 16_384, { name: 'n' }).bytes);
    await writeFile(join(folder, 'dlist'), 'debian.torrent\n');
    await writeFile(join(folder, 'page.torrent'), 'a.torrent\n');
    expect(await told(folder, ...['no-name', 'dlist', 'page.torrent'].map((name) => join(folder, name)))).toEqual({
      checked: ['no-name: n'],
      refused: [
        expect.stringMatching(/^dlist:1: cannot read debian\.torrent/),
        'page.torrent: not a torrent: starts with `a.torrent`',
      ],
    });
  });

  it.each([
    ['magnet:?xt=urn:btih:0123', /^magnet:\?xt=urn:btih:0123: magnet links are not supported yet/],
    ['none', /^cannot read none: expected a list, a \.torrent file, or a folder or glob of them, but there is no such/],
    ['none/*.torrent', /^none\/\*\.torrent: expected at least one torrent, found none$/],
    ['no[ne', /^expected a glob with a `\]` for each `\[`, got "no\[ne"/],
  ])('%s is refused', async (arg, expected) => {
    expect((await told('/nowhere', arg)).refused).toEqual([expect.stringMatching(expected)]);
  });

  it('with nothing in it is refused', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'list.txt'), '# nothing\n\n');
    await mkdir(join(folder, 'dir'));
    expect(await told(folder, join(folder, 'list.txt'), join(folder, 'dir'))).toEqual({
      checked: [],
      refused: ['list.txt', 'dir'].map((name) => `${name}: expected at least one torrent, found none`),
    });
  });

  it('that is a disk image by mistake is one error', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'disk.img'), Buffer.alloc(1_000_000, 'a\0b\n'));
    expect((await told(folder, join(folder, 'disk.img'))).refused).toEqual([
      'disk.img:1: expected text in UTF-8, found a NUL byte',
    ]);
  });

  it('that is a pipe is a list', async () => {
    const folder = await folderWith('a');
    const pipe = join(folder, 'pipe');
    await promisify(execFile)('mkfifo', [pipe]);
    const writing = writeFile(pipe, 'a.torrent\n');
    expect(await told(folder, pipe)).toEqual({ checked: ['pipe:1: a'], refused: [] });
    await writing;
  });

  it('is read while the loop turns, and no more of them once that is told', async () => {
    const folder = await folderWith('a');
    const controller = new AbortController();
    setImmediate(() => controller.abort());
    // Nothing but the reader's own breaks lets the loop turn.
    const many = Array.from({ length: 20_000 }, () => join(folder, 'a.torrent'));
    await expect(readInputs(many, controller.signal)).rejects.toThrow('aborted');
  });
});

describe('standard input', () => {
  it('gives items as their lines come, in whatever portions', async () => {
    const folder = await folderWith('a', 'b');
    const stdin = new PassThrough();
    const items = streamInput(stdin, never);
    stdin.write(`${folder}/a.torr`);
    const first = items.next();
    stdin.write(`ent\n# more\n${folder}/none\n${folder}/b`);
    expect((await first).value).toMatchObject({ name: 'a', entry: { place: { file: 'stdin', line: 1 } } });
    expect((await items.next()).value).toMatchObject({ place: { file: 'stdin', line: 3 } });
    const last = items.next();
    stdin.end('.torrent');
    expect((await last).value).toMatchObject({ name: 'b', entry: { place: { line: 4 } } });
    expect((await items.next()).done).toBe(true);
  });

  it('ends with the signal, whether or not a line is awaited', async () => {
    const controller = new AbortController();
    const stdin = new PassThrough();
    const waiting = streamInput(stdin, controller.signal).next();
    controller.abort();
    expect((await waiting).done).toBe(true);
    expect(stdin.destroyed).toBe(true);
  });

  it('that fails is a local failure', async () => {
    const stdin = new Readable({ read: () => {} });
    const waiting = streamInput(stdin, never).next();
    stdin.destroy(new Error('EIO'));
    await expect(waiting).rejects.toMatchObject({ code: 'LOCAL_IO', message: 'cannot read standard input: EIO' });
  });

  it('that is no list is one error', async () => {
    const stdin = Readable.from([Buffer.from('a\0b\n'), Buffer.from('c\n')]);
    const items = [];
    for await (const item of streamInput(stdin, never)) items.push(item);
    expect(items.map(isRefused)).toEqual([true]);
  });
});
