/**
 * Preloaded into the processes of a swarm (`node --import`): asks its own process to end when stdin does. The other end of
 * that pipe is held by whoever started it, and closes however that one dies.
 */
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  process.stdin.on('close', () => process.kill(process.pid, 'SIGTERM')).resume();
  // A pipe is a socket; it must not keep alive what has nothing left to do.
  (process.stdin as { unref?: () => void }).unref?.();
}
