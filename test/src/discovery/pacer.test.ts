import { describe, expect, it } from 'vitest';
import { Pacer } from '../../../src/discovery/pacer.js';
import { VirtualClock } from '../../helpers/tracker-clock.js';

const never = new AbortController().signal;

/** When each of so many gets its turn. */
function crowd(pacer: Pacer, clock: VirtualClock, count: number): number[] {
  const times: number[] = [];
  for (let i = 0; i < count; i++) void pacer.turn(never).then(() => times.push(clock.now()));
  return times;
}

describe('a pacer', () => {
  it('lets some go at once, and the others at its pace', async () => {
    const clock = new VirtualClock();
    const times = crowd(new Pacer(clock, 2, 4), clock, 10);
    await clock.advance(0);
    expect(times).toEqual([0, 0, 0, 0]);
    await clock.advance(100);
    expect(times.slice(4)).toEqual([2, 4, 6, 8, 10, 12]);
  });

  it('saves up what is not used, up to a burst', async () => {
    const clock = new VirtualClock();
    const pacer = new Pacer(clock, 2, 4);
    crowd(pacer, clock, 4);
    await clock.advance(4);
    const times = crowd(pacer, clock, 4);
    await clock.advance(1_000);
    expect(times).toEqual([4, 4, 6, 8]);
    const later = crowd(pacer, clock, 5);
    await clock.advance(1_000);
    expect(later).toEqual([1_004, 1_004, 1_004, 1_004, 1_006]);
  });

  it('passes over who gives up, and leaves nothing waiting', async () => {
    const clock = new VirtualClock();
    const pacer = new Pacer(clock, 10, 1);
    const times = crowd(pacer, clock, 1);
    const signal = new AbortController();
    const impatient = expect(pacer.turn(signal.signal)).rejects.toThrow('stop');
    const after = crowd(pacer, clock, 1);
    signal.abort(new Error('stop'));
    await impatient;
    await clock.advance(10);
    expect([times, after, clock.sleeping]).toEqual([[0], [10], 0]);
    await expect(pacer.turn(AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
  });

  it('tells who waits when it is closed', async () => {
    const clock = new VirtualClock();
    const pacer = new Pacer(clock, 10, 1);
    crowd(pacer, clock, 1);
    const waiting = expect(pacer.turn(never)).rejects.toThrow('over');
    pacer.close(new Error('over'));
    await waiting;
    await clock.advance(0);
    expect(clock.sleeping).toBe(0);
  });
});
