import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

// The floors of ARCHITECTURE.md: imports only point down, the pure floors stay pure, and one file posts, one folder prints.

interface Import {
  /** A path from the root of the repository, or the name of a package or built-in module. */
  readonly from: string;
  readonly typeOnly: boolean;
  /** Values imported by name; none for the whole module. */
  readonly names: readonly string[];
}

interface Source {
  readonly path: string;
  readonly imports: readonly Import[];
  /** Identifiers, and accesses written as `a.b`. */
  readonly words: ReadonlySet<string>;
  /** Methods called. */
  readonly calls: ReadonlySet<string>;
}

function read(path: string, text: string): Source {
  const imports: Import[] = [];
  const words = new Set<string>();
  const calls = new Set<string>();
  const add = (specifier: string, typeOnly: boolean, names: readonly string[]): void => {
    const from = specifier.startsWith('.')
      ? posix.join(posix.dirname(path), specifier).replace(/\.js$/, '.ts')
      : specifier;
    imports.push({ from, typeOnly, names });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const clause = node.importClause;
      const named = clause?.namedBindings;
      const elements = named !== undefined && ts.isNamedImports(named) ? [...named.elements] : [];
      const onlyTypes = elements.length > 0 && clause?.name === undefined && elements.every((each) => each.isTypeOnly);
      const values = elements.filter((each) => !each.isTypeOnly);
      const names = values.map(({ name, propertyName }) => (propertyName ?? name).text);
      add(node.moduleSpecifier.text, clause?.isTypeOnly === true || onlyTypes, names);
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      const elements = node.exportClause && ts.isNamedExports(node.exportClause) ? [...node.exportClause.elements] : [];
      const onlyTypes = elements.length > 0 && elements.every((each) => each.isTypeOnly);
      add(node.moduleSpecifier.text, node.isTypeOnly || onlyTypes, []);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add((node.argument.literal as ts.StringLiteral).text, true, []);
    } else if (ts.isCallExpression(node)) {
      const [argument] = node.arguments;
      if (node.expression.kind === ts.SyntaxKind.ImportKeyword && argument && ts.isStringLiteral(argument)) {
        add(argument.text, false, []);
      }
      if (ts.isPropertyAccessExpression(node.expression)) calls.add(node.expression.name.text);
    }
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
      words.add(`${node.expression.text}.${node.name.text}`);
    }
    if (ts.isIdentifier(node)) words.add(node.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  return { path, imports, words, calls };
}

const GROUND = /^src\/(errors|messages|options)\.ts$/;
/** How figures and words are read and told; arithmetic. */
const WORDS = /^src\/(units|text|statistics)\.ts$/;
const CORE = [/^src\/torrent\//, /^src\/protocol\//, GROUND];
const BELOW_DOWNLOAD = [
  /^src\/(transfer|turns|peers|patience|rate-split|torrent-groups|deferred|checkpoint|spill)\.ts$/,
  /^src\/(storage|discovery)\//,
  ...CORE,
];
const BELOW_CLI = [
  /^src\/(session|download|host|group-pool|api|descriptors|heap-limit|package|seed-goal|thread-meter)\.ts$/,
  WORDS,
  ...BELOW_DOWNLOAD,
];

/** Who is on which floor, and the files of this package that it may import. The first match counts. */
const FLOORS: readonly { readonly files: RegExp; readonly may: readonly RegExp[] }[] = [
  // Types only; a rule of its own says so.
  { files: GROUND, may: [/^src\/thread-meter\.ts$/, ...CORE] },
  { files: /^src\/(heap-limit|package|seed-goal|thread-meter)\.ts$/, may: [] },
  { files: WORDS, may: [GROUND] },
  { files: /^src\/protocol\//, may: [/^src\/protocol\//, GROUND] },
  { files: /^src\/torrent\//, may: CORE },
  { files: /^src\/storage\//, may: [/^src\/package\.ts$/, /^src\/storage\//, ...CORE] },
  { files: /^src\/discovery\//, may: [/^src\/deferred\.ts$/, /^src\/discovery\//, ...CORE] },
  { files: /^src\/group-pool\.ts$/, may: [/^src\/package\.ts$/, GROUND] },
  { files: /^src\/transfer\.ts$/, may: [/^src\/spill\.ts$/, /^src\/storage\//, ...CORE] },
  { files: /^src\/spill\.ts$/, may: [/^src\/storage\//, ...CORE] },
  { files: /^src\/checkpoint\.ts$/, may: [/^src\/api\.ts$/, /^src\/storage\//, ...CORE] },
  { files: /^src\/torrent-groups\.ts$/, may: [/^src\/rate-split\.ts$/, ...CORE] },
  { files: /^src\/(peers|turns|rate-split|patience|deferred)\.ts$/, may: CORE },
  { files: /^src\/descriptors\.ts$/, may: [GROUND] },
  { files: /^src\/host\.ts$/, may: BELOW_DOWNLOAD },
  { files: /^src\/api\.ts$/, may: [/^src\/(discovery|storage)\//, ...CORE] },
  { files: /^src\/content\.ts$/, may: [/^src\/(api|host)\.ts$/, ...BELOW_DOWNLOAD] },
  { files: /^src\/download\.ts$/, may: [/^src\/(api|content|host)\.ts$/, ...BELOW_DOWNLOAD] },
  { files: /^src\/session\.ts$/, may: BELOW_CLI },
  // A program of its own.
  { files: /^src\/swarm\/demo\.ts$/, may: [/^src\/cli\//, /^src\/swarm\//, ...BELOW_CLI] },
  { files: /^src\/batch\//, may: [/^src\/batch\//, ...BELOW_CLI] },
  { files: /^src\/bench\//, may: [/^src\/(bench|swarm)\//, ...BELOW_CLI] },
  { files: /^src\/swarm\//, may: [/^src\/swarm\//, ...BELOW_CLI] },
  { files: /^src\/cli\//, may: [/^src\/(cli|batch|bench|swarm)\//, ...BELOW_CLI] },
  { files: /^workers\//, may: [/^workers\//, /^src\/storage\//, /^src\/thread-meter\.ts$/, ...CORE] },
];

const PURE =
  /^src\/(protocol\/|torrent\/|(units|text|statistics)\.ts$|batch\/(entry|list|report|failed-list)\.ts$|bench\/(command-words|comparison|comparison-table|report|report-chart)\.ts$)/;
/** What a pure file may take from outside of the package, and which names of it: arithmetic that touches nothing. */
const PURE_IMPORTS = new Map<string, RegExp>([
  ['node:crypto', /^(hash|createHash|createDiffieHellman)$/],
  ['node:net', /^(isIP|isIPv4|isIPv6)$/],
  ['bencode', /^$/],
]);
/** Clocks, timers and randomness. */
const IMPURE =
  /^(Date\.now|Math\.random|performance|set(Timeout|Interval|Immediate)|queueMicrotask|process\.(?!platform$).*)$/;
const PRINTERS = /^src\/(cli\/|swarm\/demo\.ts$)/;
const PRINTS = /^(console|process\.stdout|process\.stderr)$/;

/** What breaks the rules, one line each. */
function breaches(sources: readonly Source[]): string[] {
  const found: string[] = [];
  for (const { path, imports, words, calls } of sources) {
    const floor = FLOORS.find(({ files }) => files.test(path));
    if (floor === undefined) found.push(`${path} is on no floor`);
    for (const { from, typeOnly, names } of imports) {
      const local = /^(src|workers)\//.test(from);
      if (local && floor !== undefined && !floor.may.some((allowed) => allowed.test(from))) {
        found.push(`${path} imports ${from}, which is not below it`);
      }
      if (!typeOnly && GROUND.test(path)) found.push(`${path} imports more than types from ${from}`);
      if (!typeOnly && /^src\/torrent\//.test(path) && /^src\/(messages|options)\.ts$/.test(from)) {
        found.push(`${path} imports more than types from ${from}`);
      }
      if (PURE.test(path) && !local && !typeOnly) {
        const allowed = PURE_IMPORTS.get(from);
        const taken = names.length === 0 ? [''] : names;
        if (allowed === undefined || taken.some((name) => !allowed.test(name)))
          found.push(`${path} imports ${names.join(', ')} from ${from}, but is pure`);
      }
    }
    for (const word of words) {
      if (PURE.test(path) && IMPURE.test(word)) found.push(`${path} uses ${word}, but is pure`);
      if (!PRINTERS.test(path) && PRINTS.test(word)) found.push(`${path} uses ${word}: only the command line prints`);
    }
    if (path !== 'src/messages.ts' && calls.has('postMessage')) found.push(`${path} calls postMessage`);
  }
  return [...found, ...cycles(sources)];
}

/** Cycles of imports that load code. */
function cycles(sources: readonly Source[]): string[] {
  const edges = new Map(
    sources.map(({ path, imports }) => [path, imports.filter(({ typeOnly }) => !typeOnly).map(({ from }) => from)]),
  );
  const done = new Set<string>();
  const found: string[] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at !== -1) found.push(`${[...trail.slice(at), path].join(' -> ')} is a cycle`);
    if (at !== -1 || done.has(path)) return;
    for (const next of edges.get(path) ?? []) walk(next, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) walk(path, []);
  return found;
}

const root = new URL('..', import.meta.url);
const paths = ['src', 'workers'].flatMap((folder) =>
  readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' })
    .map((path) => `${folder}/${path.replaceAll('\\', '/')}`)
    .filter((path) => path.endsWith('.ts')),
);

describe('the floors', () => {
  it('hold: imports only point down, and what is pure stays pure', () => {
    expect(paths).toContain('src/torrent/picker.ts');
    expect(paths).toContain('workers/group.ts');
    expect(breaches(paths.map((path) => read(path, readFileSync(new URL(path, root), 'utf8'))))).toEqual([]);
  });
});

describe('a breach of the floors', () => {
  it.each([
    [
      'src/options.ts',
      "import { x } from './torrent/picker.js';",
      'src/options.ts imports more than types from src/torrent/picker.ts',
    ],
    [
      'src/messages.ts',
      "import type { X } from './storage/files.js';",
      'src/messages.ts imports src/storage/files.ts, which is not below it',
    ],
    [
      'src/protocol/wire.ts',
      "import { x } from '../torrent/picker.js';",
      'src/protocol/wire.ts imports src/torrent/picker.ts, which is not below it',
    ],
    [
      'src/torrent/picker.ts',
      "import type { X } from '../storage/files.js';",
      'src/torrent/picker.ts imports src/storage/files.ts, which is not below it',
    ],
    [
      'src/torrent/picker.ts',
      "import { DEFAULTS } from '../options.js';",
      'src/torrent/picker.ts imports more than types from src/options.ts',
    ],
    [
      'src/torrent/picker.ts',
      "import { DEFAULTS, type Options } from '../options.js';",
      'src/torrent/picker.ts imports more than types from src/options.ts',
    ],
    [
      'src/discovery/dht.ts',
      "export { x } from '../storage/files.js';",
      'src/discovery/dht.ts imports src/storage/files.ts, which is not below it',
    ],
    [
      'src/group-pool.ts',
      "import { x } from './torrent/picker.js';",
      'src/group-pool.ts imports src/torrent/picker.ts, which is not below it',
    ],
    [
      'src/transfer.ts',
      "import type { X } from './download.js';",
      'src/transfer.ts imports src/download.ts, which is not below it',
    ],
    [
      'src/download.ts',
      "import type { X } from './session.js';",
      'src/download.ts imports src/session.ts, which is not below it',
    ],
    [
      'src/session.ts',
      "const x = await import('./cli/main.js');",
      'src/session.ts imports src/cli/main.ts, which is not below it',
    ],
    [
      'src/batch/list.ts',
      "import { x } from '../cli/flags.js';",
      'src/batch/list.ts imports src/cli/flags.ts, which is not below it',
    ],
    ['src/batch/list.ts', 'const now = Date.now();', 'src/batch/list.ts uses Date.now, but is pure'],
    [
      'src/batch/inputs.ts',
      "process.stderr.write('x');",
      'src/batch/inputs.ts uses process.stderr: only the command line prints',
    ],
    [
      'src/swarm/seeder.ts',
      "import { x } from '../cli/main.js';",
      'src/swarm/seeder.ts imports src/cli/main.ts, which is not below it',
    ],
    [
      'src/cli/main.ts',
      "import { x } from '../../workers/group.js';",
      'src/cli/main.ts imports workers/group.ts, which is not below it',
    ],
    [
      'workers/group.ts',
      "let x: import('../src/transfer.js').X;",
      'workers/group.ts imports src/transfer.ts, which is not below it',
    ],
    ['src/other.ts', '', 'src/other.ts is on no floor'],
    [
      'src/protocol/wire.ts',
      "import { connect } from 'node:net';",
      'src/protocol/wire.ts imports connect from node:net, but is pure',
    ],
    [
      'src/protocol/wire.ts',
      "import * as net from 'node:net';",
      'src/protocol/wire.ts imports  from node:net, but is pure',
    ],
    [
      'src/protocol/wire.ts',
      "import { randomBytes } from 'node:crypto';",
      'src/protocol/wire.ts imports randomBytes from node:crypto, but is pure',
    ],
    [
      'src/torrent/picker.ts',
      "import { isIP, Socket } from 'node:net';",
      'src/torrent/picker.ts imports isIP, Socket from node:net, but is pure',
    ],
    ['src/torrent/picker.ts', "import 'node:timers';", 'src/torrent/picker.ts imports  from node:timers, but is pure'],
    ['src/torrent/picker.ts', 'const at = process.hrtime();', 'src/torrent/picker.ts uses process.hrtime, but is pure'],
    ['src/torrent/picker.ts', 'const now = Date.now();', 'src/torrent/picker.ts uses Date.now, but is pure'],
    ['src/torrent/picker.ts', 'const { now } = performance;', 'src/torrent/picker.ts uses performance, but is pure'],
    ['src/torrent/picker.ts', 'shuffle(Math.random);', 'src/torrent/picker.ts uses Math.random, but is pure'],
    ['src/torrent/picker.ts', 'setTimeout(() => {}, 1);', 'src/torrent/picker.ts uses setTimeout, but is pure'],
    ['src/torrent/picker.ts', 'globalThis.setInterval(f, 1);', 'src/torrent/picker.ts uses setInterval, but is pure'],
    ['src/bench/report.ts', 'const now = Date.now();', 'src/bench/report.ts uses Date.now, but is pure'],
    ['src/session.ts', 'console.log(1);', 'src/session.ts uses console: only the command line prints'],
    [
      'workers/group.ts',
      "process.stderr.write('x');",
      'workers/group.ts uses process.stderr: only the command line prints',
    ],
    ['workers/group.ts', 'this.#port.postMessage(1, []);', 'workers/group.ts calls postMessage'],
  ])('is found: %s with %s', (path, text, breach) => {
    expect(breaches([read(path, text)])).toEqual([breach]);
  });

  it('is found when files import one another in a circle, but not when types do', () => {
    const circle = (keyword: string) => [
      read('src/torrent/a.ts', "import { b } from './b.js';"),
      read('src/torrent/b.ts', "import { c } from './c.js';"),
      read('src/torrent/c.ts', `import ${keyword} { b } from './b.js';`),
    ];
    expect(breaches(circle(''))).toEqual(['src/torrent/b.ts -> src/torrent/c.ts -> src/torrent/b.ts is a cycle']);
    expect(breaches(circle('type'))).toEqual([]);
  });

  it('is not found where there is none', () => {
    const good = [
      read('src/messages.ts', "import type { X } from './torrent/geometry.js'; port.postMessage(1, []);"),
      read('src/torrent/geometry.ts', "import type { Options } from '../options.js'; // Date.now() and Math.random"),
      read('src/protocol/address.ts', "import { isIP } from 'node:net'; import { SpateError } from '../errors.js';"),
      read('src/cli/main.ts', "import { Session } from '../session.js'; process.stdout.write(''); Date.now();"),
    ];
    expect(breaches(good)).toEqual([]);
  });
});
