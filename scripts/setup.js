// Makes a fresh clone ready with Node and npm alone: installs what is missing, compiles what is stale.
// Node built-ins only, since it runs before anything is installed; it does nothing when nothing changed.
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamp = `${root}dist/.built`;

/** Modification time in ms of a file, or 0 when it is not there. @param {string} path */
const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

/** Newest modification time below a folder; the folder itself counts, so that a deletion does too. @param {string} dir @returns {number} */
const newestBelow = (dir) =>
  readdirSync(dir, { withFileTypes: true }).reduce((newest, entry) => {
    const path = `${dir}/${entry.name}`;
    return Math.max(newest, entry.isDirectory() ? newestBelow(path) : modified(path));
  }, modified(dir));

/** Runs a command and ends this process with its exit code when it fails. @param {string} command @param {string[]} args */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status === 0) return;
  process.stderr.write(`setup: \`${command} ${args.join(' ')}\` failed${error ? `: ${error.message}` : ''}\n`);
  process.exit(status ?? 1);
}

const installed = modified(`${root}node_modules/.package-lock.json`);
if (installed < Math.max(modified(`${root}package-lock.json`), modified(`${root}package.json`))) {
  // npm empties what the link points to, which another checkout may live on.
  if (lstatSync(`${root}node_modules`, { throwIfNoEntry: false })?.isSymbolicLink()) {
    process.stderr.write(
      'setup: node_modules is a symbolic link and out of date: install where it points to, or remove it\n',
    );
    process.exit(1);
  }
  process.stderr.write('setup: installing dependencies\n');
  run(process.platform === 'win32' ? 'npm.cmd' : 'npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts']);
}

const sources = Math.max(
  newestBelow(`${root}src`),
  newestBelow(`${root}workers`),
  newestBelow(`${root}scripts`),
  modified(`${root}tsconfig.json`),
  modified(`${root}package.json`),
);
if (modified(stamp) < sources) {
  process.stderr.write('setup: building\n');
  rmSync(`${root}dist`, { recursive: true, force: true });
  run(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', `${root}tsconfig.json`]);
  const { bundle } = await import('./bundle.js');
  await bundle(root, `${root}dist`);
  writeFileSync(stamp, '');
}
