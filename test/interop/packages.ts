/** The Debian packages this suite cannot do without. Not a test. */
import { spawnSync } from 'node:child_process';
import { PYTHON } from './libtorrent.js';

/** By package: what must run. Its exit code says whether it is there, and nothing else is used of it. */
const PROBES = {
  aria2: ['aria2c', '--version'],
  gcc: ['gcc', '--version'],
  'libssl-dev': ['sh', '-c', 'echo "#include <openssl/evp.h>" | gcc -E -o /dev/null -'],
  opentracker: ['sh', '-c', 'command -v opentracker'],
  'python3-libtorrent': [PYTHON, '-c', 'import libtorrent'],
  'qbittorrent-nox': ['qbittorrent-nox', '--version'],
  'transmission-daemon': ['transmission-daemon', '--version'],
} as const;

/** @throws Error naming every package that is missing */
export function expectPackages(): void {
  const missing = Object.entries(PROBES)
    .filter(([, [command, ...args]]) => spawnSync(command, args, { stdio: 'ignore' }).status !== 0)
    .map(([name]) => name);
  if (missing.length === 0) return;
  throw new Error(`missing Debian packages: ${missing.join(', ')}; \`apt-get install ${missing.join(' ')}\``);
}
