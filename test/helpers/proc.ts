// What Linux tells of processes in /proc: which there are, whose children they are, what they listen on.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

interface Process {
  readonly state: string;
  readonly parent: number;
}

/** The file's text, nothing when it is gone: processes end while one looks. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function processOf(pid: number): Process | undefined {
  // The name before it may hold anything.
  const match = /.*\) (\S) (\d+) /s.exec(read(`/proc/${pid}/stat`));
  return match === null ? undefined : { state: match[1]!, parent: Number(match[2]) };
}

/** Whether a process is there and has not ended. */
export function isAlive(pid: number): boolean {
  const state = processOf(pid)?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** The living children of a process, and theirs. */
export function descendantsOf(pid: number): number[] {
  const pids = readdirSync('/proc').map(Number).filter(isAlive);
  const family = new Set([pid]);
  for (let before = 0; before < family.size; ) {
    before = family.size;
    for (const each of pids) if (family.has(processOf(each)?.parent ?? 0)) family.add(each);
  }
  family.delete(pid);
  return [...family];
}

/** The TCP sockets that processes listen on, by inode. */
export function listenersOf(pids: readonly number[]): string[] {
  const listening = listeners();
  return pids.flatMap((pid) => socketsOf(pid).filter((inode) => listening.has(inode)));
}

/** Every TCP socket that is listened on, by inode. */
export function listeners(): Set<string> {
  const lines = ['tcp', 'tcp6'].flatMap((kind) => read(`/proc/net/${kind}`).split('\n').slice(1));
  const fields = lines.map((line) => line.trim().split(/\s+/));
  return new Set(fields.flatMap(([, , , state, , , , , , inode]) => (state === '0A' ? [inode!] : [])));
}

function socketsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const match = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`));
      return match === null ? [] : [match[1]!];
    });
  } catch {
    // It has ended, or closed one meanwhile.
    return [];
  }
}
