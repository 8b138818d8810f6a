/** What a measurement was made on. */
import { availableParallelism, cpus, freemem, loadavg, release, totalmem, type } from 'node:os';

export interface MachineFacts {
  readonly cpu: string;
  /** Cores this process may use. */
  readonly cores: number;
  readonly memoryBytes: number;
  readonly freeBytes: number;
  readonly system: string;
  readonly node: string;
  /** Of the minute before: above the number of cores, nothing that follows can be trusted. */
  readonly load: number;
}

export function machineFacts(): MachineFacts {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    freeBytes: freemem(),
    system: `${type()} ${release()} ${process.arch}`,
    node: process.version,
    load: Math.round(loadavg()[0]! * 100) / 100,
  };
}
