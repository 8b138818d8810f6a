/**
 * Flushes by turns: a flush takes a thread of the pool of four for as long as the disk likes, and when thousands of small torrents
 * end at once theirs would queue in front of every read and write. A torrent asks for one at a time, so that turns in order of
 * asking are fair to all.
 */
import type { Disk } from './disk.js';

/** The same disk, with no more than `most` calls of `fdatasync` and `fsync` under way. */
export function limitFlushes(disk: Disk, most: number): Disk {
  const waiting: (() => void)[] = [];
  let underWay = 0;
  const byTurns =
    (flush: Disk['fsync']): Disk['fsync'] =>
    (fd, done) => {
      const start = (): void => {
        underWay++;
        flush(fd, (error) => {
          underWay--;
          waiting.shift()?.();
          done(error);
        });
      };
      if (underWay < most) start();
      else waiting.push(start);
    };
  return { ...disk, fdatasync: byTurns(disk.fdatasync), fsync: byTurns(disk.fsync) };
}
