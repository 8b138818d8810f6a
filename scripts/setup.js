// Makes a fresh clone ready with Node and npm alone: installs what is missing, compiles what is stale.
// Node built-ins only, since it runs before anything is installed; it does nothing when nothing changed.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
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

/** What is started or imported by its path in `dist`; the rest lies in chunks. The last two are for processes of tests. */
const ENTRIES = [
  'src/cli/main',
  'src/session',
  'src/bench/client',
  'src/bench/stage-tasks',
  'src/swarm/demo',
  'src/swarm/leash',
  'src/swarm/pattern-peer',
  'src/swarm/seeder',
  'src/storage/lock',
];

/** What threads start with: a file each, since a thread finds its modules anew. */
const WORKERS = {
  'workers/peer-group': `${root}workers/peer-group.ts`,
  'workers/verify': `${root}workers/verify.ts`,
  // Piscina looks for it beside itself.
  'chunks/worker': `${root}node_modules/piscina/dist/worker.js`,
};

/** Makes few files of many: a start is mostly the finding and loading of modules. */
async function bundle() {
  const { rolldown } = await import('rolldown');
  /** @type {Set<string>} */
  const modules = new Set();
  /** @param {Record<string, string>} input @param {NonNullable<import('rolldown').OutputOptions['codeSplitting']>} codeSplitting */
  const build = async (input, codeSplitting) => {
    const bundle = await rolldown({
      input,
      platform: 'node',
      // Of Piscina; for what is not used here.
      external: ['@napi-rs/nice'],
      transform: { define: { __dirname: 'import.meta.dirname' } },
    });
    const { output } = await bundle.write({ dir: `${root}dist`, chunkFileNames: 'chunks/[name].js', codeSplitting });
    await bundle.close();
    for (const file of output) if (file.type === 'chunk') for (const id of file.moduleIds) modules.add(id);
  };
  await build(Object.fromEntries(ENTRIES.map((name) => [name, `${root}${name}.ts`])), {
    groups: [{ name: 'piscina', test: /[\\/]node_modules[\\/]piscina[\\/]/ }],
  });
  for (const [name, file] of Object.entries(WORKERS)) await build({ [name]: file }, false);
  writeFileSync(`${root}dist/LICENSES.txt`, licenses(modules));
}

/** The notices of the packages that modules are of. @param {Iterable<string>} modules paths */
function licenses(modules) {
  const folders = new Set(
    [...modules].flatMap((path) => /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(path) ?? []),
  );
  return [...folders]
    .sort()
    .map((folder) => {
      const { name, version, license, author } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
      const notice = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
      const text =
        notice === undefined ? `${license}, by ${author}` : readFileSync(`${folder}/${notice}`, 'utf8').trim();
      return `${name} ${version}\n\n${text}\n`;
    })
    .join(`\n${'-'.repeat(80)}\n\n`);
}

const installed = modified(`${root}node_modules/.package-lock.json`);
if (installed < Math.max(modified(`${root}package-lock.json`), modified(`${root}package.json`))) {
  process.stderr.write('setup: installing dependencies\n');
  run(process.platform === 'win32' ? 'npm.cmd' : 'npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts']);
}

const sources = Math.max(
  newestBelow(`${root}src`),
  newestBelow(`${root}workers`),
  modified(`${root}tsconfig.json`),
  modified(`${root}package.json`),
);
if (modified(stamp) < sources) {
  process.stderr.write('setup: building\n');
  rmSync(`${root}dist`, { recursive: true, force: true });
  run(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', `${root}tsconfig.json`]);
  await bundle();
  writeFileSync(stamp, '');
}
