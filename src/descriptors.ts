/**
 * How many descriptors a session may use, and for what: sockets of peers, files, and what Node and the threads need for
 * themselves. The limit of the process is read once, from Linux' `/proc`; Node has no other way, and elsewhere none is known.
 */
import { readFileSync } from 'node:fs';
import type { Options } from './options.js';

const LIMITS = '/proc/self/limits';
/** Part of the limit that peers may have, as sockets of theirs. */
const FOR_PEERS = 0.6;
/** The same of what is left when few are, so that files can be opened still. */
const FOR_PEERS_OF_FEW = 0.75;
/** Of the process: streams, event loop, trackers, look-ups; measured 20 to 25 when idle. */
const OF_PROCESS = 40;
/** Of each worker: a thread of a group has 4, and one of the verify pool as many and a file. */
const OF_WORKER = 9;

/** @returns how many files the process may have open; `undefined` when that cannot be told */
export function openFileLimit(read: () => string = () => readFileSync(LIMITS, 'latin1')): number | undefined {
  try {
    // Node has raised the soft limit to the hard one at its start.
    const [, soft] = /^Max open files\s+(\d+)\s/m.exec(read()) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    // No Linux, or no /proc.
    return undefined;
  }
}

/**
 * The options that fit the limit. What is given explicitly stays as it is.
 * @param limit descriptors of the process; `undefined` when unknown
 * @param workers threads with peers
 */
export function withinDescriptors(
  options: Options,
  given: Partial<Options>,
  limit: number | undefined,
  workers: number,
): Options {
  if (limit === undefined) return options;
  const free = Math.max(0, limit - OF_PROCESS - OF_WORKER * workers);
  const maxPeers = given.maxPeers ?? atMost(options.maxPeers, Math.min(limit * FOR_PEERS, free * FOR_PEERS_OF_FEW));
  const rest = Math.max(0, free - maxPeers);
  const strangers = given.strangers ?? atMost(options.strangers, rest / 2);
  const openFiles = given.openFiles ?? atMost(options.openFiles, (rest - strangers) / (workers + 1));
  return { ...options, maxPeers, strangers, openFiles };
}

const atMost = (most: number, fit: number): number => Math.max(1, Math.min(most, Math.floor(fit)));
