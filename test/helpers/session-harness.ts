// Sessions with real worker threads: these run the build, which the global setup refreshes.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { Options } from '../../src/options.js';
import { Session, type SessionSettings } from '../../src/session.js';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Runs at the end of the test, last come first. */
export function atEnd(close: () => Promise<unknown>): void {
  closers.push(close);
}

/** A session on loopback that ends with the test. Even the smallest torrent is fetched by all its groups. */
export async function openSession(options: Partial<Options> = {}, settings: SessionSettings = {}): Promise<Session> {
  const session = await Session.open({
    bind: '127.0.0.1',
    workers: 2,
    ...settings,
    options: { groupBytes: 1, ...options },
  });
  atEnd(() => session.close());
  return session;
}

/** An empty folder that goes with the test. */
export async function emptyFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'spate-test-'));
  atEnd(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A seed or peer of `scripted-peer.ts` that ends with the test. */
export async function ending<T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> {
  const opened = await opening;
  atEnd(() => opened.close());
  return opened;
}
