import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { spate, startSpate } from '../../helpers/cli-run.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

const TORRENT = Buffer.from(
  `d4:infod6:lengthi3e4:name5:a.bin12:piece lengthi16384e6:pieces20:${'x'.repeat(20)}ee`,
  'latin1',
);

async function torrentFile(bytes: Uint8Array = TORRENT): Promise<{ readonly folder: string; readonly path: string }> {
  const folder = await temporaryFolder();
  const path = join(folder, 'a.torrent');
  writeFileSync(path, bytes);
  return { folder, path };
}

test('--version prints the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  expect(await spate(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

test('--help names the commands on stdout', async () => {
  const { code, stdout, stderr } = await spate(['--help']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/get .*seed .*info /s);
});

test.each([
  ['--version', false],
  ['--help', false],
  ['none.torrent', true],
])('%s loads the session and its worker pool: %s', async (argument, expected) => {
  // Coverage names every file that was loaded.
  const folder = await temporaryFolder();
  await spate([argument], { env: { NODE_V8_COVERAGE: folder } });
  const loaded = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
  expect(loaded.join()).toContain('/cli/main.js');
  expect(/\/piscina\/|\/session\.js/.test(loaded.join())).toBe(expected);
});

test.each([
  [[], "missing required argument 'torrent'"],
  [['--nope'], "unknown option '--nope'"],
  [['get', '--peeer', 'a:1', 'x'], "unknown option '--peeer' (Did you mean --peer?)"],
  [['seed'], "missing required argument 'torrent'"],
  [['seed', 'a', 'b', 'c'], "too many arguments for 'seed'. Expected 2 arguments but got 3"],
  [['x', '--peer', 'host'], "option '--peer <host:port>' argument 'host' is invalid: expected HOST:PORT"],
  [['x', '--tracker', 'ftp://a'], 'is invalid: expected an http, https or udp URL'],
  [['x', '--workers', '0'], "option '--workers <n>' argument '0' is invalid: expected a number from 1 to 64"],
  [['x', '--port', '65536'], 'is invalid: expected a number from 0 to 65535'],
  [['x', '--bind', 'localhost'], 'is invalid: expected an IP address of this machine'],
  [
    ['x', '--peers', '0'],
    "option '--peers <n>' argument '0' is invalid: peersPerTorrent must be a whole number, 1 to ",
  ],
  [['x', '--max-peers', 'many'], 'is invalid: maxPeers must be a whole number, 1 to 100000 count'],
  [['x', '--memory', 'lots'], 'is invalid: expected a size such as 256MiB'],
  [['x', '--memory', '1K'], 'is invalid: memoryBytes must be a whole number, 1048576 to '],
  [['x', '--peer-timeout', 'soon'], 'is invalid: expected a duration such as 30s'],
  [['x', '--color', 'blue'], 'is invalid: Allowed choices are auto, always, never'],
])('%j is a usage error: one line on stderr, exit code 2', async (args, expected) => {
  const { code, stdout, stderr } = await spate(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(`${expected}`);
  expect(stderr).toMatch(/^spate: [^\n]+; see `spate --help`\n$/);
});

test.each(['magnet:?xt=urn:btih:0', 'https://a.example/x.torrent', 'a'.repeat(40)])(
  'the source %s is not supported yet: exit code 3',
  async (source) => {
    const { code, stdout, stderr } = await spate([source, '--no-nat']);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(/^spate: [^\n]+ are not supported yet; [^\n]+\n$/);
  },
);

test('a file that is no torrent is exit code 3, for every command', async () => {
  const { path } = await torrentFile(Buffer.from('hello'));
  for (const args of [
    [path, '--no-nat'],
    ['seed', path, '--no-nat'],
    ['info', path],
  ]) {
    const { code, stdout, stderr } = await spate(args);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toBe(`spate: ${path}: not a torrent: starts with \`hello\`\n`);
  }
});

test('a torrent that has been cut off is exit code 3', async () => {
  const { path } = await torrentFile(TORRENT.subarray(0, -5));
  const { code, stderr } = await spate([path, '--no-nat']);
  expect(code).toBe(3);
  expect(stderr).toMatch(/^spate: \S+a\.torrent: invalid torrent: [^\n]+\n$/);
});

test('a file that is missing is exit code 3, and --json says so too', async () => {
  const { code, stdout, stderr } = await spate(['none.torrent', '--json', '--no-nat']);
  const message = 'cannot read none.torrent: expected a .torrent file, but there is no such file';
  expect({ code, stderr }).toEqual({ code: 3, stderr: `spate: ${message}\n` });
  expect(JSON.parse(stdout)).toMatchObject({
    type: 'summary',
    exitCode: 3,
    downloads: [{ source: 'none.torrent', state: 'failed', error: { code: 'INVALID_TORRENT', message } }],
  });
});

test('a port that is taken is exit code 10', async () => {
  const { folder, path } = await torrentFile();
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const port = String((server.address() as AddressInfo).port);

  const { code, stderr } = await spate([path, '-o', folder, '--bind', '127.0.0.1', '--port', port, '--workers', '1']);

  expect(code).toBe(10);
  expect(stderr).toMatch(
    new RegExp(`^spate: cannot listen on 127\\.0\\.0\\.1 port ${port}: [^\\n]*EADDRINUSE[^\\n]*\\n$`),
  );
});

test('a folder that cannot be made is exit code 8, named with what is in its way', async () => {
  const { folder, path } = await torrentFile();

  const { code, stderr } = await spate([path, '-o', join(path, 'sub'), '--bind', '127.0.0.1', '--workers', '1']);

  expect(code).toBe(8);
  expect(stderr).toMatch(/^spate: a\.bin: cannot [^\n]+\n$/);
  expect(stderr).toContain(folder);
});

test('a torrent given twice is in the session once; the exit code says that two things happened', async () => {
  const { folder, path } = await torrentFile();

  const { code, stderr } = await spate([path, path, '-o', folder, '--bind', '127.0.0.1', '--workers', '1']);

  expect(code).toBe(7);
  expect(stderr).toContain('is in this session already\n');
  expect(stderr).toContain('add --tracker or --peer\n');
});

test('info prints facts and files on stdout', async () => {
  const { path } = await torrentFile();
  const { code, stdout, stderr } = await spate(['info', path]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^name {8}a\.bin\n/);
  expect(JSON.parse((await spate(['info', path, '--json'])).stdout)).toMatchObject({ name: 'a.bin', pieces: 1 });
});

test('info reads stdin', async () => {
  const { code, stdout } = await spate(['info', '-', '--json'], { stdin: TORRENT });
  expect(code).toBe(0);
  expect(JSON.parse(stdout).name).toBe('a.bin');
});

test('a reader that leaves ends the command quietly with exit code 141', async () => {
  const { folder, path } = await torrentFile();
  for (const args of [
    ['info', path],
    ['get', path, '-o', folder, '--json', '-q', '--bind', '127.0.0.1'],
  ]) {
    const run = startSpate(args);
    run.child.stdout!.destroy();
    expect((await run.ended).code).toBe(141);
  }
});
