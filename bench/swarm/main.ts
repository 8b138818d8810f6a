/** `npm run bench:swarm [name...]`: our client in swarms on loopback. Prints tables; fails when payload was not verified. */

import { beside } from './beside.js';
import { crowd } from './crowd.js';
import { hostile } from './hostile.js';
import { Lab } from './lab.js';
import { leechers } from './leechers.js';
import { libtorrent } from './libtorrent.js';
import { many } from './many.js';
import { rates } from './rates.js';
import { tail } from './tail.js';

const BENCHES: Readonly<Record<string, (lab: Lab) => Promise<void>>> = {
  tail,
  rates,
  hostile,
  leechers,
  libtorrent,
  beside,
  crowd,
  many,
};

const names = process.argv.slice(2);
for (const name of names.length > 0 ? names : Object.keys(BENCHES)) {
  const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
  if (bench === undefined) {
    process.stderr.write(`no bench ${name}; there are ${Object.keys(BENCHES).join(', ')}\n`);
    process.exitCode = 2;
    break;
  }
  const startedAt = performance.now();
  await Lab.run(bench);
  process.stderr.write(`${name} took ${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`);
}
