/**
 * What this package knows of itself: its version, and where the files are that are started and not imported. It finds itself by
 * its name, so that this holds in the sources as well as in any chunk of the build. What is started is always what was built.
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const MANIFEST = 'spate-bt/package.json';
const packageRequire = createRequire(import.meta.url);
const manifest = pathToFileURL(packageRequire.resolve(MANIFEST));
const place = (path: string): URL => new URL(path, manifest);

export const VERSION: string = packageRequire(MANIFEST).version;

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
