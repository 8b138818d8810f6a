/** `spate bench`: measures on this machine, on loopback. One file per kind of measurement. */
import type { Command } from 'commander';
import { addBenchCompare } from './bench-compare.js';

export function addBench(program: Command): void {
  const bench = program.command('bench').description('measure on a swarm on loopback');
  addBenchCompare(bench);
}
