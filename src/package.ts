/**
 * What this package knows of itself: its version, and where the files are that are started and not imported. Its folder is the
 * next one above with a package.json, from the sources as well as from any chunk of the build. What is started is always what
 * was built.
 */
import { existsSync, readFileSync } from 'node:fs';

const isRoot = (folder: URL): boolean => existsSync(new URL('package.json', folder));
const rootAbove = (folder: URL): URL => (isRoot(folder) ? folder : rootAbove(new URL('..', folder)));
const root = rootAbove(new URL('.', import.meta.url));
const place = (path: string): URL => new URL(path, root);

export const VERSION: string = JSON.parse(readFileSync(place('package.json'), 'utf8')).version;

/** Programs and the entries of threads; `scripts/setup.js` builds them. */
export const BUILT = {
  cli: place('dist/src/cli/main.js'),
  peerGroup: place('dist/workers/peer-group.js'),
  verify: place('dist/workers/verify.js'),
  leash: place('dist/src/swarm/leash.js'),
  patternPeer: place('dist/src/swarm/pattern-peer.js'),
  benchClient: place('dist/src/bench/client.js'),
  stageTasks: place('dist/src/bench/stage-tasks.js'),
} as const;

/** Of the C programs; not in the package that is published. */
export const NATIVE_SOURCES = place('bench/native/');
