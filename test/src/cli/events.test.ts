import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openEvents, withBareEvents } from '../../../src/cli/events.js';
import { Output } from '../../../src/cli/output.js';
import { fakeStreams } from '../../helpers/cli-streams.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

const unbroken = (error: Error): never => {
  throw error;
};

const LINE = /^\{"v":1,"ts":\d+\.?\d*,"seq":(\d+),"type":"(\w+)"/;

test('events are JSON lines with numbers without a gap, on stdout unless a file is named', () => {
  const { streams, stdout, stderr } = fakeStreams();
  const events = openEvents({ events: '-' }, new Output({}, streams), unbroken);
  events.emit('start', { version: '1' });
  events.emit('done', { name: 'a\u202eb\n', id: undefined });
  events.emit('summary');
  events.close();
  const lines = stdout().split('\n').slice(0, -1);
  expect(lines.map((line) => LINE.exec(line)?.slice(1))).toEqual([
    ['1', 'start'],
    ['2', 'done'],
    ['3', 'summary'],
  ]);
  expect(lines[1]).toContain('"name":"a\\u202eb\\n"');
  expect(JSON.parse(lines[1]!)).toMatchObject({ v: 1, seq: 2, name: 'a\u202eb\n' });
  expect(Math.abs(JSON.parse(lines[0]!).ts - Date.now() / 1000)).toBeLessThan(60);
  expect(stderr()).toBe('');
});

test('a file of events is begun anew, and holds each as soon as it is told', async () => {
  const path = join(await temporaryFolder(), 'events');
  await writeFile(path, 'of yesterday\n');
  const { streams, stdout } = fakeStreams();
  const events = openEvents({ events: path }, new Output({}, streams), unbroken);
  events.emit('start');
  expect(await readFile(path, 'utf8')).toMatch(LINE);
  events.emit('summary');
  events.close();
  expect((await readFile(path, 'utf8')).split('\n')).toHaveLength(3);
  expect(stdout()).toBe('');
});

test('nobody is told when nobody asked', () => {
  const { streams, stdout } = fakeStreams();
  const events = openEvents({}, new Output({}, streams), unbroken);
  events.emit('start');
  events.close();
  expect(stdout()).toBe('');
});

test('a file that cannot be written is an error before the work', () => {
  const { streams } = fakeStreams();
  expect(() => openEvents({ events: '/nowhere/events' }, new Output({}, streams), unbroken)).toThrow(
    'cannot write events to /nowhere/events',
  );
});

test('a file that cannot be written any more ends the events, which is told once', () => {
  const { streams } = fakeStreams();
  const broken: Error[] = [];
  const events = openEvents({ events: '/dev/full' }, new Output({}, streams), (error) => broken.push(error));
  for (let n = 0; n < 3; n++) events.emit('progress');
  events.close();
  expect(broken).toMatchObject([{ code: 'DISK_FULL', message: expect.stringContaining('write events to /dev/full') }]);
});

test('--events without a file takes nothing that stands behind it', () => {
  const args = ['node', 'spate', 'batch', '--events', 'list.txt', '--events=file', '--', '--events'];
  expect(withBareEvents(args)).toEqual([
    'node',
    'spate',
    'batch',
    '--events=-',
    'list.txt',
    '--events=file',
    '--',
    '--events',
  ]);
});

test('stdout is for one of --json and --events', () => {
  const { streams } = fakeStreams();
  expect(() => openEvents({ json: true, events: '-' }, new Output({}, streams), unbroken)).toThrow(
    'both write to stdout',
  );
});
