/** The Piscina entry of a peer group: one task that lasts as long as the group. */
import type { MessagePort } from 'node:worker_threads';
import type { GroupStart } from '../src/messages.js';
import { runGroup } from './group.js';

/** @returns when main has said `stop` or closed the port */
export function peerGroup(start: GroupStart): Promise<void> {
  return runGroup({ ...start, port: start.port as MessagePort });
}
