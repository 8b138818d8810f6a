import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { fillIn } from '../../../src/bench/command-words.js';
import {
  type Course,
  parseCommand,
  parseRivals,
  placeholders,
  RIVALS,
  type Rival,
  shownCommand,
  spate,
} from '../../../src/bench/rivals.js';
import { CLI } from '../../helpers/cli-run.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

const COURSE: Course = {
  torrent: '/t/it.torrent',
  out: '/t/out dir',
  home: '/t/home',
  payload: '/t/payload/payload.bin',
  name: 'payload.bin',
  size: 1000,
  pieceLength: 16_384,
  infohash: 'ab'.repeat(20),
  seeds: [
    { host: '127.0.0.1', port: 7001 },
    { host: '127.0.0.1', port: 7002 },
  ],
};

afterEach(() => vi.unstubAllEnvs());

const commandOf = (rival: Rival): string[] => fillIn(rival.command, { ...placeholders(COURSE), webPort: 9 });

/** The whole PATH: these programs, each a shell script. */
async function pathWith(programs: Readonly<Record<string, string>>): Promise<void> {
  const folder = await temporaryFolder();
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  vi.stubEnv('PATH', folder);
}

async function found(name: string): Promise<{ rival: Rival; version: string }> {
  const detection = await RIVALS[name]!(await temporaryFolder());
  if ('missing' in detection) throw new Error(detection.missing);
  return detection;
}

describe('what is not installed', () => {
  it.each(['aria2c', 'transmission', 'qbittorrent-nox'])('is said of %s', async (name) => {
    await pathWith({});
    expect(await RIVALS[name]!(await temporaryFolder())).toEqual({ missing: 'not installed' });
  });

  it('is said of the floor where there is no compiler', async () => {
    await pathWith({});
    expect(await RIVALS.floor!(await temporaryFolder())).toEqual({ missing: 'gcc is not installed' });
  });

  it('is what does not run', async () => {
    await pathWith({ aria2c: 'echo "no such library" >&2; exit 127' });
    expect(await RIVALS.aria2c!(await temporaryFolder())).toEqual({
      missing: expect.stringMatching(/^`aria2c --version` failed: .*no such library/),
    });
  });
});

describe('what is installed', () => {
  it('is aria2c with loopback alone, ending when it is done', async () => {
    await pathWith({ aria2c: 'echo "aria2 version 9.9"; echo "more"' });
    const { rival, version } = await found('aria2c');
    expect(version).toBe('aria2 version 9.9');
    expect(commandOf(rival)).toEqual(
      expect.arrayContaining(['aria2c', '--no-conf', '--dir=/t/out dir', '--seed-time=0', '--enable-dht=false']),
    );
    expect(commandOf(rival).at(-1)).toBe('/t/it.torrent');
    expect(rival.daemon).toBeUndefined();
  });

  it('is libtorrent with whichever python3 has the module', async () => {
    await pathWith({ python3: 'echo "libtorrent 9.9"' });
    const { rival, version } = await found('libtorrent');
    expect(version).toBe('libtorrent 9.9');
    const [python, flag, script, ...rest] = commandOf(rival);
    expect([python, flag, ...rest]).toEqual(['python3', '-c', '/t/it.torrent', '/t/out dir']);
    expect(script).toContain('"allow_multiple_connections_per_ip": True');
    expect(shownCommand(rival)).not.toContain('import');
  });

  it('is transmission, whose version is on stderr, and which has to be dialled', async () => {
    await pathWith({ 'transmission-daemon': 'echo "transmission-daemon 9.9" >&2' });
    const { rival, version } = await found('transmission');
    expect(version).toBe('transmission-daemon 9.9');
    expect(commandOf(rival)).toEqual(['transmission-daemon', '-f', '-g', '/t/home/transmission']);
    expect(rival.daemon!.mustBeDialled).toBe(true);
  });

  it('is qbittorrent-nox with a profile of its own', async () => {
    await pathWith({ 'qbittorrent-nox': 'echo "qBittorrent v9.9"' });
    const { rival } = await found('qbittorrent-nox');
    expect(commandOf(rival)).toEqual(['qbittorrent-nox', '--profile=/t/home', '--webui-port=9']);
    expect(rival.daemon!.mustBeDialled).toBe(false);
  });

  it('is the floor, compiled', async () => {
    await pathWith({ gcc: 'exit 0' });
    const { rival } = await found('floor');
    expect(commandOf(rival).slice(1)).toEqual(['7001', 'ab'.repeat(20), '/t/out dir/payload.bin', '16384', '1000']);
  });
});

describe('spate', () => {
  it('is the command of this Node, on loopback', () => {
    expect(commandOf(spate())).toEqual([
      ...[process.execPath, CLI, 'get', '/t/it.torrent', '-o', '/t/out dir', '--bind', '127.0.0.1', '-q'],
    ]);
    expect(shownCommand(spate())).toBe('spate get {torrent} -o {out} --bind 127.0.0.1 -q');
  });
});

describe('parseCommand', () => {
  it('takes a name and a command, whose placeholders are filled in word by word', () => {
    const rival = parseCommand(`x=get "{torrent}" --to={out}/{name} {ports} {home} {payload}`);
    expect(rival.name).toBe('x');
    expect(commandOf(rival)).toEqual([
      ...['get', '/t/it.torrent', '--to=/t/out dir/payload.bin', '7001,7002', '/t/home', '/t/payload/payload.bin'],
    ]);
  });

  it.each(['', 'x', 'x=', '=cmd', 'x=  ', 'a/b=cmd', '..\n=cmd', `${'n'.repeat(41)}=cmd`])('refuses %j', (text) => {
    expect(() => parseCommand(text)).toThrow('expected NAME=COMMAND');
  });

  it.each([
    ['x=cmd {nope}', 'got {nope}'],
    ["x=cmd 'open", 'expected a closing'],
  ])('refuses %j', (text, message) => {
    expect(() => parseCommand(text)).toThrow(message);
  });
});

describe('parseRivals', () => {
  it('takes names between commas, each once, or none', () => {
    expect(parseRivals('floor, aria2c,floor')).toEqual(['floor', 'aria2c']);
    expect(parseRivals('none')).toEqual([]);
  });

  it.each(['', 'utorrent', 'aria2c,', 'constructor'])('refuses %j', (text) => {
    expect(() => parseRivals(text)).toThrow(
      'expected none or some of aria2c, libtorrent, transmission, qbittorrent-nox, floor, got',
    );
  });
});
