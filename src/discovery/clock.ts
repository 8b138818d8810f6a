/** Time as an argument: what waits takes a `Clock`, so that tests run on virtual time. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds from an arbitrary start; never goes back. */
  now(): number;
  /** Resolves after `ms`; rejects as soon as the signal is aborted, with nothing left behind. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, { signal }),
};

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
    done.abort();
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
