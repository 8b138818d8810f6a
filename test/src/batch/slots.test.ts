import { describe, expect, it } from 'vitest';
import { Slots } from '../../../src/batch/slots.js';

const never = new AbortController().signal;

describe('Slots', () => {
  it('lets so many in, and the others by turns', async () => {
    const slots = new Slots(2);
    const [first, second] = [await slots.take(never), await slots.take(never)];
    const order: number[] = [];
    const wait = async (name: number): Promise<() => void> => {
      const release = await slots.take(never);
      order.push(name);
      return release;
    };
    const third = wait(3);
    const fourth = wait(4);
    first();
    await third;
    expect(order).toEqual([3]);
    second();
    await fourth;
    expect(order).toEqual([3, 4]);
  });

  it('gives a place back once, however often it is told to', async () => {
    const slots = new Slots(1);
    const release = await slots.take(never);
    release();
    release();
    await slots.take(never);
    let entered = false;
    const waiting = slots.take(never).then(() => {
      entered = true;
    });
    await Promise.resolve();
    expect(entered).toBe(false);
    void waiting;
  });

  it('lets nobody wait whose signal is aborted, and forgets them', async () => {
    const slots = new Slots(1);
    const release = await slots.take(never);
    const controller = new AbortController();
    const given = slots.take(controller.signal);
    const next = slots.take(never);
    controller.abort(new Error('gone'));
    await expect(given).rejects.toThrow('gone');
    release();
    await next;
    await expect(slots.take(controller.signal)).rejects.toThrow('gone');
  });
});
