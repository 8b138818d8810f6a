import { createHash } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseMetainfo } from '../../../src/protocol/metainfo.js';
import {
  firstDifference,
  type PayloadShape,
  PayloadStream,
  payloadBytes,
  payloadTorrent,
  writePayload,
} from '../../../src/swarm/payload.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

/** `openssl enc -aes-128-ctr` of 48 zeros under the first half of SHA-256("spate"). */
const SPATE = 'd8a1c6231c307a6484196a97de6e0b203fe00a60026c3a70654d1d5c28c3dfd454a78718654ccfb1b4321aea2ff90371';

const SHAPE: PayloadShape = {
  seed: 'shape',
  name: 'some',
  length: 100_000,
  files: [
    { path: ['a'], length: 40_001 },
    { path: ['b', 'empty'], length: 0 },
    { path: ['b', 'c'], length: 59_999 },
    { path: ['z'], length: 0 },
  ],
};

test('the payload is the AES-CTR key stream of its seed', () => {
  expect(payloadBytes('spate', 0, 48).toString('hex')).toBe(SPATE);
});

test('any range is the same whether it is read at once, in parts or from its offset', () => {
  const whole = payloadBytes('seed', 0, 2000);
  fc.assert(
    fc.property(fc.nat(1999), fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 6 }), (offset, lengths) => {
      const stream = new PayloadStream('seed', offset);
      let at = offset;
      for (const length of lengths) {
        const end = Math.min(at + length, 2000);
        expect(stream.next(end - at).equals(whole.subarray(at, end))).toBe(true);
        at = end;
      }
    }),
  );
});

test('offsets above 4 GiB have bytes of their own', () => {
  expect(payloadBytes('seed', 2 ** 36, 16).equals(payloadBytes('seed', 0, 16))).toBe(false);
  expect(payloadBytes('seed', 2 ** 36 + 7, 9).equals(payloadBytes('seed', 2 ** 36, 16).subarray(7))).toBe(true);
});

test('a payload of one file is on disk as its bytes, with the SHA-1 of each piece', async () => {
  const root = await temporaryFolder();
  const shape = { seed: 'one', name: 'one.bin', length: 2500 };

  const hashes = await writePayload(shape, root, 1000);

  const bytes = readFileSync(join(root, 'one.bin'));
  expect(bytes.equals(payloadBytes('one', 0, 2500))).toBe(true);
  const sha1 = (from: number, to: number): Buffer => createHash('sha1').update(bytes.subarray(from, to)).digest();
  expect(Buffer.concat([sha1(0, 1000), sha1(1000, 2000), sha1(2000, 2500)]).equals(hashes)).toBe(true);
});

test('a payload of several files runs through them, the empty ones included', async () => {
  const root = await temporaryFolder();

  await writePayload(SHAPE, root, 16_384);

  const files = ['a', 'b/empty', 'b/c', 'z'].map((path) => readFileSync(join(root, 'some', path)));
  expect(files.map(({ length }) => length)).toEqual([40_001, 0, 59_999, 0]);
  expect(Buffer.concat(files).equals(payloadBytes('shape', 0, 100_000))).toBe(true);
});

test('the first wrong byte of a download is found, wherever it is', async () => {
  const root = await temporaryFolder();
  await writePayload(SHAPE, root, 16_384);
  expect(await firstDifference(SHAPE, root)).toBeUndefined();

  const path = join(root, 'some', 'b', 'c');
  const bytes = readFileSync(path);
  bytes[30_000]! ^= 1;
  bytes[30_001]! ^= 1;
  writeFileSync(path, bytes);

  expect(await firstDifference(SHAPE, root)).toBe(70_001);
});

test('a byte that is missing is one that differs', async () => {
  const root = await temporaryFolder();
  await writePayload(SHAPE, root, 16_384);

  truncateSync(join(root, 'some', 'b', 'c'), 59_998);

  expect(await firstDifference(SHAPE, root)).toBe(99_999);
});

test('writing stops when it is told to', async () => {
  const root = await temporaryFolder();
  const reason = new Error('enough');

  await expect(writePayload(SHAPE, root, 16_384, AbortSignal.abort(reason))).rejects.toBe(reason);
});

test('the torrent of a payload names its files, pieces and trackers', async () => {
  const root = await temporaryFolder();
  const hashes = await writePayload(SHAPE, root, 16_384);
  const tiers = [['http://127.0.0.1:1/announce'], ['udp://127.0.0.1:1']];

  const metainfo = parseMetainfo(payloadTorrent(SHAPE, 16_384, hashes, tiers));

  expect(metainfo).toMatchObject({ name: 'some', length: 100_000, pieceLength: 16_384, trackers: tiers });
  expect(metainfo.files.map(({ path }) => path.join('/'))).toEqual(['some/a', 'some/b/empty', 'some/b/c', 'some/z']);
  expect(Buffer.from(metainfo.pieceHashes).equals(hashes)).toBe(true);
});
