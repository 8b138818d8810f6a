import { describe, expect, it } from 'vitest';
import { Gates } from '../../../src/discovery/gate.js';
import { settle } from '../../helpers/tracker-clock.js';

/** Work that lasts until it is told to end. */
class Crowd {
  readonly gates: Gates;
  /** Who is through, in order. */
  readonly begun: string[] = [];
  readonly #ends: (() => void)[] = [];

  constructor(slots: number) {
    this.gates = new Gates(slots);
  }

  send(name: string, { canWait = false, to = 'there', signal = new AbortController().signal } = {}): Promise<string> {
    return this.gates.pass(to, canWait, signal, () => {
      this.begun.push(name);
      return new Promise((resolve) => this.#ends.push(() => resolve(name)));
    });
  }

  /** The work that began first is done. */
  async end(): Promise<void> {
    this.#ends.shift()!();
    await settle();
  }
}

describe('a gate', () => {
  it('lets so many through at once, and the next in order as one is done', async () => {
    const crowd = new Crowd(2);
    const all = ['a', 'b', 'c', 'd'].map((name) => crowd.send(name));
    await settle();
    expect(crowd.begun).toEqual(['a', 'b']);
    await crowd.end();
    expect(crowd.begun).toEqual(['a', 'b', 'c']);
    for (let i = 0; i < 3; i++) await crowd.end();
    expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('is one for each destination', async () => {
    const crowd = new Crowd(1);
    for (const to of ['here', 'there', 'there']) void crowd.send(to, { to });
    await settle();
    expect(crowd.begun).toEqual(['here', 'there']);
  });

  it('lets those who can wait through every fourth time while others come, and not later', async () => {
    const crowd = new Crowd(1);
    void crowd.send('first');
    for (const name of ['x', 'y', 'z']) void crowd.send(name, { canWait: true });
    for (const name of ['a', 'b', 'c', 'd', 'e']) void crowd.send(name);
    await settle();
    for (let i = 0; i < 8; i++) await crowd.end();
    expect(crowd.begun.join(' ')).toBe('first a b c x d e y z');
  });

  it('forgets who gives up, and goes on after work that fails', async () => {
    const crowd = new Crowd(1);
    const signal = new AbortController();
    const failing = crowd.gates.pass('there', false, signal.signal, () => Promise.reject(new Error('no')));
    const impatient = crowd.send('impatient', { signal: signal.signal });
    signal.abort(new Error('stop'));
    await expect(failing).rejects.toThrow('no');
    await expect(impatient).rejects.toThrow('stop');
    void crowd.send('patient');
    await settle();
    expect(crowd.begun).toEqual(['patient']);
  });
});
