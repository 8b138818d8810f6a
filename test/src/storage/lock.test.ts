import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { takeLock } from '../../../src/storage/lock.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

const LOCK = new URL('../../../dist/src/storage/lock.js', import.meta.url).href;

/** What is in the folders of a folder. */
const sockets = (folder: string): string[] => readdirSync(folder).flatMap((part) => readdirSync(join(folder, part)));

/** A process that holds a lock. */
async function holder(folder: string, name: string) {
  const code = `
    const { takeLock } = await import(${JSON.stringify(LOCK)});
    const lock = await takeLock(${JSON.stringify(folder)}, ${JSON.stringify(name)}, Math.random);
    setInterval(() => {}, 1000);
    process.stdout.write(lock === undefined ? 'no' : 'yes');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const [answer] = await once(child.stdout, 'data');
  return { child, exited, holds: String(answer) === 'yes' };
}

it('is held once, under each name, and can be taken again when it was released', async () => {
  const folder = await temporaryFolder();
  const lock = await takeLock(folder, 'one', Math.random);
  expect(lock).toBeDefined();
  expect(await takeLock(folder, 'one', Math.random)).toBeUndefined();
  const other = await takeLock(folder, 'two', Math.random);
  expect(other).toBeDefined();
  lock?.release();
  lock?.release();
  const again = await takeLock(folder, 'one', Math.random);
  expect(again).toBeDefined();
  again?.release();
  other?.release();
  await expect.poll(() => sockets(folder)).toEqual([]);
});

it('keeps another process out, also one that is stopped, until it is killed', async () => {
  const folder = await temporaryFolder();
  const first = await holder(folder, 'it');
  expect(first.holds).toBe(true);
  expect(await takeLock(folder, 'it', Math.random)).toBeUndefined();
  first.child.kill('SIGSTOP');
  expect(await takeLock(folder, 'it', Math.random)).toBeUndefined();
  first.child.kill('SIGKILL');
  await first.exited;
  const lock = await takeLock(folder, 'it', Math.random);
  expect(lock).toBeDefined();
  lock?.release();
  await expect.poll(() => sockets(folder)).toEqual([]);
});

it('is never held twice, however many contend', async () => {
  const folder = await temporaryFolder();
  for (let round = 0; round < 20; round++) {
    const locks = await Promise.all(Array.from({ length: 4 }, () => takeLock(folder, 'it', Math.random)));
    expect(locks.filter((lock) => lock !== undefined).length).toBeLessThanOrEqual(1);
    for (const lock of locks) lock?.release();
  }
});

it('works in a folder whose path is too long for a socket', async () => {
  const folder = join(await temporaryFolder(), 'long'.repeat(20), 'longer'.repeat(20));
  const lock = await takeLock(folder, 'it', Math.random);
  expect(lock).toBeDefined();
  expect(await takeLock(folder, 'it', Math.random)).toBeUndefined();
  lock?.release();
});

it('says which folder cannot be used', async () => {
  const file = join(await temporaryFolder(), 'file');
  writeFileSync(file, '');
  await expect(takeLock(file, 'it', Math.random)).rejects.toMatchObject({
    code: 'LOCAL_IO',
    message: expect.stringContaining(file),
  });
});
