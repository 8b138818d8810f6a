// What a lease costs on its way between two threads: there and back, by the size of its buffer, and what copying would cost instead.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { bench, describe } from 'vitest';
import { post, type ToGroup } from '../../src/messages.js';
import type { PieceIndex } from '../../src/torrent/geometry.js';

const KIB = 1024;
const SIZES = [16, 64, 256, 1024, 4096, 16_384];
const ECHO = `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', (message) => {
    const { buffer } = message.leases[0];
    parentPort.postMessage(message, message.isCopied ? [] : [buffer]);
  });`;

type Lease = Extract<ToGroup, { type: 'lease' }>;

const worker = new Worker(ECHO, { eval: true });
worker.unref();

function leaseOf(buffer: ArrayBuffer): Lease {
  return { type: 'lease', torrent: 1, leases: [{ lease: 1, piece: 1 as PieceIndex, buffer }] };
}

async function answer(): Promise<ArrayBuffer> {
  const [message] = (await once(worker, 'message')) as [Lease];
  return message.leases[0]!.buffer;
}

describe('a lease to another thread and back', () => {
  for (const size of SIZES) {
    let buffer = new ArrayBuffer(size * KIB);
    bench(`${size < KIB ? `${size} KiB` : `${size / KIB} MiB`}, transferred`, async () => {
      post(worker, leaseOf(buffer));
      buffer = await answer();
      if (buffer.byteLength !== size * KIB) throw new Error(`${buffer.byteLength} bytes came back`);
    });
  }
  const copied = new ArrayBuffer(KIB * KIB);
  bench('1 MiB, copied', async () => {
    worker.postMessage({ ...leaseOf(copied), isCopied: true });
    await answer();
  });
});
