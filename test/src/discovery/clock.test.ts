import { describe, expect, it } from 'vitest';
import { systemClock, unlessAborted, within } from '../../../src/discovery/clock.js';
import { VirtualClock } from '../../helpers/tracker-clock.js';

const never = new AbortController().signal;
const late = (): Error => new Error('late');
const forever = (signal: AbortSignal): Promise<never> => unlessAborted(new Promise<never>(() => {}), signal);

describe('systemClock', () => {
  it('sleeps for the time given', async () => {
    const start = systemClock.now();
    await systemClock.sleep(10, never);
    // Timers may fire a fraction of a millisecond early.
    expect(systemClock.now() - start).toBeGreaterThan(8);
  });

  it('wakes with an error as soon as it is aborted', async () => {
    const controller = new AbortController();
    const sleeping = systemClock.sleep(1e6, controller.signal);
    controller.abort();
    await expect(sleeping).rejects.toThrow();
    await expect(systemClock.sleep(1e6, controller.signal)).rejects.toThrow();
  });
});

describe('within', () => {
  it('gives what the work gives and forgets the deadline', async () => {
    const clock = new VirtualClock();
    expect(await within(clock, 10, late, never, async () => 7)).toBe(7);
    await expect(within(clock, 10, late, never, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(clock.sleeping).toBe(0);
  });

  it('ends the work when time is up', async () => {
    const clock = new VirtualClock();
    const failed = expect(within(clock, 10, late, never, forever)).rejects.toThrow('late');
    await clock.advance(10);
    await failed;
  });

  it('ends the work when the caller gives up, and starts none when he has', async () => {
    const clock = new VirtualClock();
    const controller = new AbortController();
    const failed = expect(within(clock, 10, late, controller.signal, forever)).rejects.toThrow('stop');
    controller.abort(new Error('stop'));
    await failed;
    let isStarted = false;
    const work = async (): Promise<void> => {
      isStarted = true;
    };
    await expect(within(clock, 10, late, controller.signal, work)).rejects.toThrow('stop');
    expect(isStarted).toBe(false);
    expect(clock.sleeping).toBe(0);
  });
});

describe('unlessAborted', () => {
  it('is the promise, or the reason of the signal, whichever comes first', async () => {
    expect(await unlessAborted(Promise.resolve(7), never)).toBe(7);
    await expect(unlessAborted(Promise.reject(new Error('no')), never)).rejects.toThrow('no');
    await expect(unlessAborted(Promise.resolve(7), AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
  });
});
