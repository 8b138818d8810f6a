// A small file system of its own, which takes root to mount; who is not gets the reason.
import { execFileSync } from 'node:child_process';
import { onTestFinished } from 'vitest';

/** Mounts one on a folder until the test ends. @returns how to make it larger */
export function smallDisk(at: string, kib: number): (kib: number) => void {
  const mount = (size: number, ...options: string[]): void => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', [`size=${size}k`, ...options].join(','), 'tmpfs', at]);
  };
  mount(kib);
  onTestFinished(() => void execFileSync('umount', [at]));
  return (size) => mount(size, 'remount');
}
