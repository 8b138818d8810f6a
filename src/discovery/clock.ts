/** Time as an argument: what waits takes a `Clock`, so that tests run on virtual time. */
import { performance } from 'node:perf_hooks';

export interface Clock {
  /** Milliseconds from an arbitrary start; never goes back. */
  now(): number;
  /** Resolves after `ms`; rejects as soon as the signal is aborted, with nothing left behind. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  // Half as dear as that of `timers/promises`, which makes an error with a stack for each sleeper that is woken.
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal.addEventListener('abort', onAbort, { once: true });
    }),
};

/** The reason of signals that end a wait nobody needs any more. One for all: to make one each time is dear. */
export const OVER = new Error('it is not waited for any more');

/**
 * Runs work that must be over in time.
 * @param late makes the reason the work's signal is aborted with after `ms`; the caller's own signal is passed on
 * @param work must obey the signal it is given
 */
export async function within<T>(
  clock: Clock,
  ms: number,
  late: () => Error,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const bounds = new AbortController();
  const onAbort = (): void => bounds.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const done = new AbortController();
  const timer = clock.sleep(ms, done.signal).then(
    () => bounds.abort(late()),
    () => {},
  );
  try {
    return await work(bounds.signal);
  } finally {
    signal.removeEventListener('abort', onAbort);
    done.abort(OVER);
    await timer;
  }
}

/** What a promise gives, unless the signal is aborted first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
