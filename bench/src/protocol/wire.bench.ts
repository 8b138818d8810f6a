// The wire decoder on the hot path: 64 KiB reads full of blocks, as a fast seed sends them.
import { bench, describe } from 'vitest';
import { silentSink } from '../../../src/bench/stage-tasks.js';
import { BLOCK_LENGTH, WireDecoder, writeBlockHeader, writeRequest } from '../../../src/protocol/wire.js';

const READ = 64 * 1024;
const BLOCKS = 64;
const blocks = new Uint8Array(BLOCKS * (13 + BLOCK_LENGTH));
for (let i = 0; i < BLOCKS; i++) writeBlockHeader(blocks, i * (13 + BLOCK_LENGTH), 0, i * BLOCK_LENGTH, BLOCK_LENGTH);
const requests = new Uint8Array(17 * 1000);
for (let i = 0; i < 1000; i++) writeRequest(requests, 17 * i, i, 0, BLOCK_LENGTH);

describe('WireDecoder', () => {
  const decoder = new WireDecoder(silentSink);
  bench('1 MiB of blocks in reads of 64 KiB', () => {
    for (let at = 0; at < blocks.length; at += READ) decoder.push(blocks, at, Math.min(at + READ, blocks.length));
  });
  bench('1,000 requests in one read', () => {
    decoder.push(requests, 0, requests.length);
  });
});
