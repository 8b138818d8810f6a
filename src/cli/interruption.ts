/**
 * What ends the process early: INT, TERM, and a reader of stdout that has left. The first asks for an orderly end, a second
 * signal gets an immediate one: what is on disk is safe at any time.
 */
import { constants } from 'node:os';
import { EXIT } from './exit-codes.js';

export interface Interruption {
  /** Aborted by the first. */
  readonly signal: AbortSignal;
  /** What to exit with; `undefined` as long as nothing has happened. */
  readonly exitCode: number | undefined;
  /** Gives the signals back their default meaning. */
  release(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** @param onFirst told when an orderly end is asked for by a signal */
export function watchInterruption(onFirst: () => void): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const interrupt = (code: number): void => {
    exitCode ??= code;
    controller.abort();
  };
  const onSignal = (name: (typeof SIGNALS)[number]): void => {
    const code = 128 + constants.signals[name];
    if (controller.signal.aborted) process.exit(code);
    interrupt(code);
    onFirst();
  };
  const onStdoutError = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') interrupt(EXIT.pipe);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  process.stdout.on('error', onStdoutError);
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    release() {
      for (const name of SIGNALS) process.off(name, onSignal);
      process.stdout.off('error', onStdoutError);
    },
  };
}
