/** A promise that is settled from outside. */
import type { SpateError } from './errors.js';

export interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: SpateError) => void;
}

/** That nobody waits for it is no fault: it can be asked for later. */
export function deferred(): Deferred {
  let settle: Omit<Deferred, 'promise'> | undefined;
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  promise.catch(() => {});
  return { promise, ...settle! };
}
