/**
 * What ends the process early: INT, TERM, and data that nobody gets, as their reader has left or their disk is full. The first asks
 * for an orderly end, a second signal gets an immediate one: what is on disk is safe at any time.
 */
import { constants } from 'node:os';
import { stdoutError } from './exit-codes.js';

export interface Interruption {
  /** Aborted by the first. */
  readonly signal: AbortSignal;
  /** Asks for an orderly end. */
  interrupt(exitCode: number): void;
  /** What to exit with; `undefined` as long as nothing has happened. */
  readonly exitCode: number | undefined;
  /** Resolves when the orderly end has taken so long that it is given up: the disk or something else hangs. */
  readonly overdue: Promise<void>;
  /** Ends the process by the signal it got, which shells report as 128 + its number. Does not return when there was one. */
  die(): void;
  /** For a process that has nothing left to do: it dies when something that hangs still keeps it. */
  dieSoon(): void;
  /** Gives the signals back their default meaning. */
  release(): void;
}

/** What keeps the process longer than that when all is done hangs. */
const LINGER_MS = 200;
/** With what is left to say, within 3 s. */
const OVERDUE_MS = 2_600;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * @param onFirst told when an orderly end is asked for by a signal
 * @param onSecond ends the process at the next one, when dying by the signal would leave something behind
 */
export function watchInterruption(onFirst: () => void, onSecond?: (exitCode: number) => never): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  let first: (typeof SIGNALS)[number] | undefined;
  let timer: NodeJS.Timeout | undefined;
  let onOverdue = (): void => {};
  const overdue = new Promise<void>((resolve) => {
    onOverdue = resolve;
  });
  const release = (): void => {
    clearTimeout(timer);
    for (const name of SIGNALS) process.off(name, onSignal);
    process.stdout.off('error', onStdoutError);
  };
  // Not `process.exit`: it waits for the file operations under way, for ever when the disk hangs.
  const die = (): void => {
    release();
    if (first !== undefined) process.kill(process.pid, first);
  };
  const dieSoon = (): void => {
    // Not waited for: this finds the loop alive, or never runs.
    const timer = setInterval(() => {
      if (process.stdout.writableLength + process.stderr.writableLength > 0) return;
      clearInterval(timer);
      die();
    }, LINGER_MS).unref();
  };
  const interrupt = (code: number): void => {
    exitCode ??= code;
    controller.abort();
  };
  const onSignal = (name: (typeof SIGNALS)[number]): void => {
    const code = 128 + constants.signals[name];
    first ??= name;
    if (controller.signal.aborted) return onSecond === undefined ? die() : onSecond(code);
    timer = setTimeout(onOverdue, OVERDUE_MS);
    interrupt(code);
    onFirst();
  };
  const onStdoutError = (error: Error): void => interrupt(stdoutError(error).exitCode);
  for (const name of SIGNALS) process.on(name, onSignal);
  process.stdout.on('error', onStdoutError);
  return {
    signal: controller.signal,
    interrupt,
    get exitCode() {
      return exitCode;
    },
    overdue,
    die,
    dieSoon,
    release,
  };
}
