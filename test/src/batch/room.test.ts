import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Need, Room } from '../../../src/batch/room.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

const need = (bytes: number, device = 1, freeBytes = 1000): Need => ({ device, bytes, freeBytes });

describe('Room', () => {
  it('has no more than what is free and not reserved', () => {
    const room = new Room<string>(0);
    room.reserve('a', need(600), 'a');
    expect(() => room.reserve('b', need(401), 'b.iso')).toThrow(
      'b.iso needs 401 bytes, the disk has 1000, of which 600 are reserved for others',
    );
    room.reserve('b', need(400), 'b.iso');
  });

  it('keeps so much free', () => {
    const room = new Room<string>(300);
    expect(() => room.reserve('a', need(701), 'a')).toThrow(
      'a needs 701 bytes, the disk has 1000, of which 300 have to stay free',
    );
    room.reserve('a', need(700), 'a');
  });

  it('counts each file system by itself', () => {
    const room = new Room<string>(0);
    room.reserve('a', need(1000, 1), 'a');
    room.reserve('b', need(1000, 2), 'b');
  });

  it('gives back what is written, which is no longer free, and what ends', () => {
    const room = new Room<string>(0);
    room.reserve('a', need(600), 'a');
    room.onProgress('a', 100);
    room.reserve('b', need(400, 1, 500), 'b');
    expect(() => room.reserve('c', need(1, 1, 500), 'c')).toThrow(/DISK_FULL|needs 1 bytes/);
    room.release('b');
    room.reserve('c', need(400, 1, 500), 'c');
  });
});

describe('what an item needs', () => {
  const room = new Room<string>(0);

  it('is all of what is not there, also in a folder that is not', async () => {
    const folder = await temporaryFolder();
    const found = await room.needOf(join(folder, 'x', 'y'), 'a', [{ path: ['a'] }], 5000);
    expect(found).toMatchObject({ bytes: 5000 });
    expect(await room.hasData(join(folder, 'x', 'y'), 'a')).toBe(false);
    expect(found.freeBytes).toBeGreaterThan(0);
  });

  it('is what is missing of what is there: holes are not', async () => {
    const folder = await temporaryFolder();
    mkdirSync(join(folder, 'dir'));
    writeFileSync(join(folder, 'dir', 'a'), Buffer.alloc(65_536, 1));
    writeFileSync(join(folder, 'dir', 'b'), '');
    truncateSync(join(folder, 'dir', 'b'), 1_048_576);
    const files = [{ path: ['dir', 'a'] }, { path: ['dir', 'b'] }, { path: ['dir', 'c'] }];
    const found = await room.needOf(folder, 'dir', files, 65_536 + 1_048_576 + 10);
    expect(found).toMatchObject({ bytes: 1_048_586 });
    expect(await room.hasData(folder, 'dir')).toBe(true);
  });

  it('is all again when its folder has gone', async () => {
    const folder = join(await temporaryFolder(), 'out');
    mkdirSync(folder);
    writeFileSync(join(folder, 'a'), Buffer.alloc(65_536, 1));
    const look = () => room.needOf(folder, 'a', [{ path: ['a'] }], 65_536);
    expect(await look()).toMatchObject({ bytes: 0 });
    expect(await room.hasData(folder, 'a')).toBe(true);
    rmSync(folder, { recursive: true });
    expect(await look()).toMatchObject({ bytes: 65_536 });
    expect(await room.hasData(folder, 'a')).toBe(false);
  });
});
