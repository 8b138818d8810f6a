// Makes few files of many: a start is mostly the finding and loading of modules. The packages that are used go in, Piscina too; names
// and lines stay as they are, for stacks that can be read.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rolldown } from 'rolldown';

/** What is started or imported by its path in `dist`; it shares chunks. The last two are for processes of tests. */
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

/** What a thread begins with: one file each, since every thread finds and loads its modules anew. */
const WORKERS = ['workers/peer-group', 'workers/verify'];

/**
 * @param {string} root the folder of the package
 * @param {string} dist where the bundles go
 */
export async function bundle(root, dist) {
  /** @type {string[]} */
  const modules = [];
  /** @param {Record<string, string>} input path of a file below `dist` -> its source @param {import('rolldown').OutputOptions} output */
  const build = async (input, output) => {
    // Piscina would take the other package if it were asked for another priority.
    const bundle = await rolldown({ cwd: root, input, platform: 'node', external: ['@napi-rs/nice'], transform });
    const { output: files } = await bundle.write({ dir: dist, ...output });
    await bundle.close();
    for (const file of files) if (file.type === 'chunk') modules.push(...file.moduleIds);
  };
  // Piscina starts the `worker.js` beside itself, which has to be CommonJS: a thread has the flags of its process, and a process with
  // `--input-type` runs no other file.
  const transform = { define: { __dirname: 'import.meta.dirname' } };
  await build(Object.fromEntries(ENTRIES.map((name) => [name, `./${name}.ts`])), {
    chunkFileNames: ({ name }) => (name === 'piscina' ? 'piscina/main.mjs' : 'chunks/[name].js'),
    codeSplitting: {
      groups: ['piscina', 'commander'].map((name) => ({
        name,
        test: new RegExp(`[\\\\/]node_modules[\\\\/]${name}[\\\\/]`),
      })),
    },
  });
  for (const name of WORKERS) await build({ [name]: `./${name}.ts` }, { codeSplitting: false });
  await build({ 'piscina/worker': './node_modules/piscina/dist/worker.js' }, { format: 'cjs' });
  writeFileSync(`${dist}/piscina/package.json`, '{ "type": "commonjs" }\n');
  writeFileSync(`${dist}/LICENSES.txt`, licenses(modules));
}

/** The notices of the packages that modules are of. @param {readonly string[]} modules paths */
function licenses(modules) {
  const inPackage = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/;
  const folders = [...new Set(modules.flatMap((path) => inPackage.exec(path) ?? []))].sort();
  return folders.map(licenseOf).join(`\n${'-'.repeat(80)}\n\n`);
}

/** @param {string} folder of a package */
function licenseOf(folder) {
  const { name, version, license, author } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
  const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  const text = file === undefined ? `${license}, by ${author}` : readFileSync(`${folder}/${file}`, 'utf8').trim();
  return `${name} ${version}\n\n${text}\n`;
}
