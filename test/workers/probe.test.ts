import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { expect, it, onTestFinished, vi } from 'vitest';
import { latencyAt } from '../../src/bench/metrics.js';
import { Probe } from '../../workers/probe.js';
import { block, handshakeOf, request } from '../helpers/scripted-peer.js';

const BLOCK = 16_384;
const HANDSHAKE = handshakeOf(Buffer.alloc(20, 1));

/** A probe that listens to one connection, on time that the test sets. */
function listening() {
  let now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  const probe = new Probe();
  onTestFinished(() => {
    probe.stop();
    vi.restoreAllMocks();
  });
  const written: Uint8Array[] = [];
  const socket = { write: (bytes: Uint8Array) => written.push(bytes) > 0 } as unknown as Socket;
  const hear = probe.tap(socket);
  return {
    probe,
    written,
    say: (bytes: Uint8Array) => socket.write(bytes),
    /** @param step bytes of one read */
    hear: (bytes: Uint8Array, step = bytes.length) => {
      for (let at = 0; at < bytes.length; at += step) hear(bytes, at, Math.min(at + step, bytes.length));
    },
    pass: (ms: number) => {
      now += ms;
    },
    blocks: () => probe.figures().latency.reduce((sum, count) => sum + count, 0),
  };
}

/** Latencies are counted in steps of a twentieth of an octave, of which the upper end is told. */
const within = (ms: number, found: number): void => {
  expect(found).toBeGreaterThanOrEqual(ms);
  expect(found).toBeLessThan(ms * 2 ** (1 / 20) * 1.0001);
};

it('times each block from its request to its last byte, however the reads cut it', () => {
  const { probe, say, hear, pass, blocks } = listening();
  say(HANDSHAKE);
  say(Buffer.concat([request(3, 0, BLOCK), request(3, BLOCK, 100)]));
  hear(HANDSHAKE, 30);
  pass(4);
  hear(block(3, BLOCK, Buffer.alloc(100)), 7);
  expect(blocks()).toBe(1);
  within(4, latencyAt(probe.figures().latency, 1));
  const long = block(3, 0, Buffer.alloc(BLOCK));
  hear(long.subarray(0, -1), 5_000);
  pass(60);
  hear(long.subarray(-1));
  expect(blocks()).toBe(2);
  within(64, latencyAt(probe.figures().latency, 1));
});

it('hands on what is written as it is, and counts no block that nobody asked for, or that comes twice', () => {
  const { written, say, hear, blocks } = listening();
  say(HANDSHAKE);
  say(request(1, 0, 10));
  expect(Buffer.concat(written)).toEqual(Buffer.concat([HANDSHAKE, request(1, 0, 10)]));
  hear(HANDSHAKE);
  hear(block(2, 0, Buffer.alloc(10)));
  expect(blocks()).toBe(0);
  hear(block(1, 0, Buffer.alloc(10)));
  hear(block(1, 0, Buffer.alloc(10)));
  expect(blocks()).toBe(1);
});

it('hears nothing in what is no plaintext, and breaks nothing', () => {
  const { say, hear, blocks } = listening();
  say(Buffer.alloc(5_000, 0xee));
  hear(Buffer.alloc(5_000, 0xee), 100);
  say(request(1, 0, 10));
  hear(block(1, 0, Buffer.alloc(10)));
  expect(blocks()).toBe(0);
});

it('counts messages', () => {
  const { probe } = listening();
  probe.onMessage();
  probe.onMessage();
  expect(probe.figures()).toMatchObject({ messages: 2, utilisation: expect.any(Number), gcMs: expect.any(Number) });
});
