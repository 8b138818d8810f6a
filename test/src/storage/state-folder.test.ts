import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { takeLock } from '../../../src/storage/lock.js';
import { lockFolder, prune, stateKey, statePath } from '../../../src/storage/state-folder.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

const DAY_S = 86_400;
const NOW_S = 2_000_000_000;

const keyOf = (n: number): string => stateKey(Buffer.alloc(20, n), '/out');

async function folder() {
  const state = await temporaryFolder();
  mkdirSync(join(state, 'resume'));
  mkdirSync(lockFolder(state));
  const put = (path: string, days: number): void => {
    writeFileSync(path, '');
    utimesSync(path, NOW_S - days * DAY_S, NOW_S - days * DAY_S);
  };
  const left = (): string[] => readdirSync(join(state, 'resume')).sort();
  const run = (random = () => 0): Promise<void> => prune(state, NOW_S * 1000, random);
  return { state, put, left, run };
}

it('states that were last saved more than 180 days ago are removed, and nothing else is', async () => {
  const { state, put, left, run } = await folder();
  const [old, young, half] = [1, 2, 3].map((n) => statePath(state, keyOf(n))) as [string, string, string];
  put(old, 181);
  put(young, 179);
  put(`${half}.new`, 181);
  const other = join(state, 'resume', 'notes.txt');
  put(other, 1000);
  await run();
  expect(left()).toEqual([`${keyOf(2)}.resume`, 'notes.txt']);
});

it('of very many some are looked at each time, all in the long run', async () => {
  const { state, put, left, run } = await folder();
  for (let n = 0; n < 600; n++) {
    const path = join(state, 'resume', `${n.toString(16).padStart(40, '0')}-${'0'.repeat(16)}.resume`);
    put(path, n < 300 ? 0 : 181);
  }
  await run(() => 0);
  expect(left()).toHaveLength(600);
  await run(() => 0.4);
  expect(left()).toHaveLength(600 - (240 + 256 - 300));
  for (const at of [0.5, 0.7, 0.9]) await run(() => at);
  expect(left()).toHaveLength(300);
});

it('sockets of locks whose holders died are removed, but none that is held or younger than a day', async () => {
  const { state, run } = await folder();
  const locks = lockFolder(state);
  const age = (name: string): void => utimesSync(join(locks, name), NOW_S - 2 * DAY_S, NOW_S - 2 * DAY_S);
  const held = await takeLock(locks, 'held', Math.random);
  onTestFinished(() => held?.release());
  const [part] = readdirSync(locks);
  const living = join(part!, readdirSync(join(locks, part!))[0]!);
  age(living);
  const [dead, young] = ['a', 'b'].map((letter) => join(part!, `${letter.repeat(20)}.1`)) as [string, string];
  for (const name of [dead, young]) writeFileSync(join(locks, name), '');
  age(dead);
  utimesSync(join(locks, young), NOW_S, NOW_S);
  await run();
  expect(
    readdirSync(join(locks, part!))
      .map((name) => join(part!, name))
      .sort(),
  ).toEqual([living, young].sort());
});

it('a folder that cannot be looked at is left as it is', async () => {
  const state = join(await temporaryFolder(), 'none');
  await prune(state, NOW_S * 1000, Math.random);
  expect(() => readdirSync(state)).toThrow('ENOENT');
});
