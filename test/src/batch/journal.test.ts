import { appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { Journal, type Outcome } from '../../../src/batch/journal.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

let folder: string;
let path: string;
let warnings: string[];

beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder, 'a', 'batch.jsonl');
  warnings = [];
});

const open = (): Promise<Journal> =>
  Journal.open({
    path,
    lockFolder: join(folder, 'locks'),
    random: Math.random,
    onWarning: (message) => warnings.push(message),
  });

const DONE: Outcome = { state: 'done', length: 7, downloaded: 5, seconds: 1.5, attempts: 1 };
const FAILED: Outcome = { ...DONE, state: 'failed', error: { code: 'STALLED', message: 'no byte came' } };

const lines = (): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);

async function recorded(outcomes: Readonly<Record<string, Outcome>>): Promise<void> {
  const journal = await open();
  for (const [key, outcome] of Object.entries(outcomes)) journal.record(key, outcome);
  await journal.close();
}

describe('Journal', () => {
  it('remembers how each has ended, the last time it did', async () => {
    await recorded({ one: FAILED, two: DONE });
    await recorded({ one: DONE });
    const journal = await open();
    expect(journal.outcomeOf('one')).toEqual(DONE);
    expect(journal.outcomeOf('two')).toEqual(DONE);
    expect(journal.outcomeOf('three')).toBeUndefined();
    await journal.close();
    expect(warnings).toEqual([]);
  });

  it('is a file of JSON lines that says what it is', async () => {
    await recorded({ one: FAILED });
    expect(lines().map((line) => JSON.parse(line))).toEqual([
      { journal: 'spate batch', version: 1 },
      { key: 'one', ...FAILED },
    ]);
  });

  it('loses the line that was being written, at every place where it can be cut, and no other', async () => {
    await recorded({ one: DONE, two: FAILED });
    const whole = readFileSync(path);
    const last = lines().at(-1)!.length + 1;
    for (let cut = 1; cut < last; cut++) {
      writeFileSync(path, whole);
      truncateSync(path, whole.length - cut);
      const journal = await open();
      expect(journal.outcomeOf('one')).toEqual(DONE);
      // Without its line break alone it is whole.
      expect(journal.outcomeOf('two')).toEqual(cut === 1 ? FAILED : undefined);
      journal.record('three', DONE);
      await journal.close();
      const after = await open();
      expect(after.outcomeOf('three')).toEqual(DONE);
      await after.close();
    }
  });

  it.each([
    ['no JSON', 'nonsense'],
    ['no object', '[1]'],
    ['another state', JSON.stringify({ key: 'x', ...DONE, state: 'gone' })],
    ['no key', JSON.stringify(DONE)],
    ['a number that is none', JSON.stringify({ key: 'x', ...DONE, length: '7' })],
    ['a number below zero', JSON.stringify({ key: 'x', ...DONE, seconds: -1 })],
    ['an error without a code', JSON.stringify({ key: 'x', ...DONE, error: { message: 'm' } })],
    ['an error that is null', JSON.stringify({ key: 'x', ...DONE, error: null })],
    ['a line without an end', `{"key":"${'x'.repeat(100_000)}"}`],
  ])('leaves out a line with %s, and says so', async (_what, line) => {
    await recorded({ one: DONE });
    appendFileSync(path, `${line}\n`);
    const journal = await open();
    expect(journal.outcomeOf('x')).toBeUndefined();
    expect(journal.outcomeOf('one')).toEqual(DONE);
    expect(warnings).toEqual([`${path}: 1 damaged lines are left out`]);
    await journal.close();
    expect(readFileSync(path, 'utf8')).not.toContain(line);
  });

  it.each([
    ['a list of torrents', 'a.torrent\nb.torrent\n'],
    ['a journal of another version', '{"journal":"spate batch","version":2}\n'],
    ['some other JSON', '{"a":1}\n'],
  ])('refuses %s and leaves it as it is', async (_what, text) => {
    mkdirSync(join(folder, 'a'));
    writeFileSync(path, text);
    await expect(open()).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('expected a journal'),
    });
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  it('refuses a folder', async () => {
    mkdirSync(path, { recursive: true });
    await expect(open()).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('says when it cannot be kept where it should be', async () => {
    writeFileSync(join(folder, 'a'), '');
    await expect(open()).rejects.toMatchObject({ code: 'LOCAL_IO' });
  });

  it('belongs to one process at a time', async () => {
    const journal = await open();
    await expect(open()).rejects.toMatchObject({ code: 'ALREADY_RUNNING', message: expect.stringContaining(path) });
    await journal.close();
    await (await open()).close();
  });

  it('is free again after it could not be opened', async () => {
    mkdirSync(join(folder, 'a'));
    writeFileSync(path, 'something else\n');
    await expect(open()).rejects.toMatchObject({ code: 'USAGE' });
    writeFileSync(path, '');
    await (await open()).close();
  });

  it('is written anew when most of it is of the past', async () => {
    for (let n = 0; n < 4; n++) await recorded({ one: FAILED, two: DONE });
    const journal = await open();
    await journal.close();
    expect(lines().length).toBeLessThanOrEqual(1 + 2 * 2);
    expect(existsSync(join(folder, 'a', '.batch.jsonl.new'))).toBe(false);
  });
});
