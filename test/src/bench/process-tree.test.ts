import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { ProcessTree } from '../../../src/bench/process-tree.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

const HOLDER = 100;
const MARK = 'RUN=7';

interface Entry {
  readonly parent: number;
  /** Clock ticks: of its own, user and system, and of the children it has waited for. */
  readonly ticks?: readonly [number, number, number, number];
  readonly hwmKib?: number;
  readonly environ?: string;
  readonly name?: string;
  readonly state?: string;
  readonly start?: number;
}

let proc: string;
let tree: ProcessTree;

/** A process as `proc(5)` shows it. */
function put(pid: number, entry: Entry): void {
  const { parent, ticks = [0, 0, 0, 0], hwmKib = 0, environ = '', name = 'it', state = 'S', start = 5 } = entry;
  const folder = join(proc, String(pid));
  mkdirSync(folder, { recursive: true });
  const fields = [state, parent, 1, 1, 0, -1, 0, 9, 9, 9, 9, ...ticks, 20, 0, 1, 0, start, 999, 9];
  writeFileSync(join(folder, 'stat'), `${pid} (${name}) ${fields.join(' ')}\n`);
  writeFileSync(join(folder, 'status'), `Name:\t${name}\nVmPeak:\t 1 kB\nVmHWM:\t    ${hwmKib} kB\nVmRSS:\t 1 kB\n`);
  writeFileSync(join(folder, 'environ'), environ);
}

function end(pid: number): void {
  rmSync(join(proc, String(pid)), { recursive: true });
}

beforeEach(async () => {
  proc = await temporaryFolder();
  tree = new ProcessTree(HOLDER, MARK, proc);
  writeFileSync(join(proc, 'uptime'), '1 1');
  put(1, { parent: 0, ticks: [900, 900, 900, 900], hwmKib: 5000 });
  put(HOLDER, { parent: 1, ticks: [50, 50, 0, 0], hwmKib: 700, environ: `${MARK}\0` });
});

describe('ProcessTree', () => {
  it('adds what children and their children use, and not what the holder and strangers do', () => {
    put(101, { parent: HOLDER, ticks: [100, 20, 3, 4], hwmKib: 10 });
    put(102, { parent: 101, ticks: [200, 1, 0, 0], hwmKib: 20 });
    put(103, { parent: 1, ticks: [7000, 0, 0, 0], hwmKib: 9999, environ: 'RUN=77\0XRUN=7\0' });
    tree.look();
    expect(tree.usage()).toEqual({ cpuSeconds: 3.28, peakRssBytes: 30 * 1024 });
    expect(tree.pids()).toEqual([101, 102]);
  });

  it('finds a daemon, which has left its parent, by the mark in its environment', () => {
    put(105, { parent: 1, ticks: [150, 50, 0, 0], hwmKib: 8, environ: `PATH=/bin\0${MARK}\0` });
    put(106, { parent: 105, ticks: [1, 0, 0, 0] });
    tree.look();
    expect(tree.usage()).toEqual({ cpuSeconds: 2.01, peakRssBytes: 8192 });
  });

  it('counts a process that has ended once: in whoever has waited for it', () => {
    put(101, { parent: HOLDER, ticks: [100, 0, 0, 0] });
    put(102, { parent: 101, ticks: [50, 0, 0, 0] });
    tree.look();
    end(102);
    put(101, { parent: HOLDER, ticks: [100, 0, 60, 0] });
    tree.glance();
    expect(tree.usage().cpuSeconds).toBe(1.6);
    end(101);
    put(HOLDER, { parent: 1, ticks: [50, 50, 110, 60] });
    tree.glance();
    expect(tree.usage().cpuSeconds).toBe(1.7);
    expect(tree.pids()).toEqual([]);
  });

  it('keeps what a daemon had used when it ends, since nobody in the tree waits for it', () => {
    put(105, { parent: 1, ticks: [150, 50, 5, 5], environ: MARK });
    tree.look();
    end(105);
    tree.glance();
    expect(tree.usage().cpuSeconds).toBe(2.1);
  });

  it('does not take a process with the id of one that has ended for it', () => {
    put(105, { parent: 1, ticks: [100, 0, 0, 0], environ: MARK, start: 5 });
    tree.look();
    put(105, { parent: 1, ticks: [5000, 0, 0, 0], start: 6 });
    tree.look();
    expect(tree.usage().cpuSeconds).toBe(1);
    expect(tree.pids()).toEqual([]);
  });

  it('keeps the most memory that processes had at once', () => {
    put(101, { parent: HOLDER, hwmKib: 100 });
    put(102, { parent: HOLDER, hwmKib: 50 });
    tree.look();
    end(101);
    put(102, { parent: HOLDER, hwmKib: 120 });
    tree.look();
    expect(tree.usage().peakRssBytes).toBe(150 * 1024);
  });

  it('reads a name with spaces and parentheses, and takes no zombie for alive', () => {
    put(101, { parent: HOLDER, ticks: [100, 0, 0, 0], name: 'a) S 1 (b', state: 'Z' });
    tree.look();
    expect(tree.usage().cpuSeconds).toBe(1);
    expect(tree.pids()).toEqual([]);
  });
});
