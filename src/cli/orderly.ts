/** A command that goes on until it is done, or until a signal and the orderly end that it asks for. */
import type { SpateError } from '../errors.js';
import { exitCodeOf } from './exit-codes.js';
import { type Interruption, watchInterruption } from './interruption.js';
import type { Output } from './output.js';

export interface Orderly {
  /** What ended the work, unless a signal did. */
  readonly failure: unknown;
  /** The orderly end took too long: something hangs. */
  readonly isOverdue: boolean;
  /** @param own what to exit with when nothing went wrong */
  exitCode(own: number): number;
  /** To be called after the last words: what hangs does not keep the process. */
  leave(): void;
}

/**
 * Runs the work; a failure is shown and kept.
 * @param work may ask for an orderly end itself, with an error
 */
export async function runOrderly(
  output: Output,
  work: (signal: AbortSignal, stop: (error: SpateError) => void) => Promise<void>,
): Promise<Orderly> {
  const interruption: Interruption = watchInterruption(() => output.note('stopping; a second signal ends it at once'));
  let failure: unknown;
  let isOverdue = false;
  const stop = (error: SpateError): void => {
    failure ??= error;
    output.error(error);
    interruption.interrupt(exitCodeOf(error));
  };
  try {
    const overdue = interruption.overdue.then(() => 'overdue' as const);
    isOverdue = (await Promise.race([work(interruption.signal, stop), overdue])) === 'overdue';
    if (isOverdue) output.note('the disk does not answer; what was saved before is kept');
  } catch (error) {
    if (!interruption.signal.aborted) {
      failure = error;
      output.error(error);
    }
  }
  return {
    failure,
    isOverdue,
    exitCode: (own) => interruption.exitCode ?? (failure === undefined ? own : exitCodeOf(failure)),
    leave() {
      if (isOverdue) interruption.die();
      interruption.release();
      interruption.dieSoon();
    },
  };
}
