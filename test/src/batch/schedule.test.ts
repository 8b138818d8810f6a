import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Concurrency } from '../../../src/batch/concurrency.js';
import { type Order, Schedule } from '../../../src/batch/schedule.js';

const MIB = 1_048_576;

interface Named {
  readonly name: string;
  readonly length: number;
}

function create({ jobs = 2, metaJobs = 64, order = 'list' as Order, random = (): number => 0 } = {}): Schedule<Named> {
  return new Schedule<Named>({ concurrency: new Concurrency({ jobs, cores: 2 }), metaJobs, order, random });
}

const task = (name: string, length = MIB): Named => ({ name, length });

/** Starts all that may start. */
function started(schedule: Schedule<Named>, now: number): string[] {
  const names: string[] = [];
  for (let next = schedule.next(now); next !== undefined; next = schedule.next(now)) names.push(next.name);
  return names;
}

describe('Schedule', () => {
  it('starts as many as may run, in the order they came', () => {
    const schedule = create();
    const tasks = ['a', 'b', 'c'].map((name) => task(name));
    for (const each of tasks) schedule.add(each);
    expect(started(schedule, 0)).toEqual(['a', 'b']);
    schedule.move(tasks[0]!, 'over', 1);
    expect(started(schedule, 1)).toEqual(['c']);
  });

  it('starts no more than so many that are still being read', () => {
    const schedule = create({ jobs: 100, metaJobs: 3 });
    for (let n = 0; n < 10; n++) schedule.add(task(String(n)));
    expect(started(schedule, 0)).toEqual(['0', '1', '2']);
  });

  it.each([
    ['small', ['b', 'd', 'a', 'c']],
    ['large', ['c', 'a', 'b', 'd']],
    ['list', ['a', 'b', 'c', 'd']],
  ] as const)('takes %s ones first when told so, equal ones as they came', (order, expected) => {
    const schedule = create({ jobs: 10, order });
    for (const [name, length] of [
      ['a', 2],
      ['b', 1],
      ['c', 3],
      ['d', 1],
    ] as const)
      schedule.add(task(name, length));
    expect(started(schedule, 0)).toEqual(expected);
  });

  it('shuffles: every order comes up', () => {
    const seen = new Set<string>();
    let state = 1;
    const random = (): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    };
    for (let n = 0; n < 200; n++) {
      const schedule = create({ jobs: 10, order: 'random', random });
      for (const name of ['a', 'b', 'c']) schedule.add(task(name));
      seen.add(started(schedule, 0).join(''));
    }
    expect(seen.size).toBe(6);
  });

  it('gives the place of one that gets no byte for two seconds to the next', () => {
    const schedule = create({ jobs: 1 });
    const [dead, next] = [task('dead'), task('next')];
    schedule.add(dead);
    schedule.add(next);
    expect(started(schedule, 0)).toEqual(['dead']);
    schedule.move(dead, 'downloading', 10);
    schedule.onBytes(dead, 100, MIB - 100, 1000);
    expect(started(schedule, 2999)).toEqual([]);
    expect(started(schedule, 3000)).toEqual(['next']);
    expect(schedule.counts).toMatchObject({ downloading: 1, reading: 1, queued: 0 });
  });

  it('does not count who seeds', () => {
    const schedule = create({ jobs: 1 });
    const [first, second] = [task('first'), task('second')];
    schedule.add(first);
    schedule.add(second);
    started(schedule, 0);
    schedule.move(first, 'seeding', 0);
    expect(started(schedule, 0)).toEqual(['second']);
  });

  it('tries a postponed one again when it is due, before what is queued', () => {
    const schedule = create({ jobs: 1 });
    const [early, late, queued] = [task('early'), task('late'), task('queued')];
    for (const each of [late, early, queued]) schedule.add(each);
    expect(started(schedule, 0)).toEqual(['late']);
    schedule.postpone(late, 200);
    expect(started(schedule, 0)).toEqual(['early']);
    schedule.postpone(early, 100);
    expect(schedule.dueAt).toBe(100);
    expect(schedule.next(99)?.name).toBe('queued');
    schedule.move(queued, 'over', 99);
    expect(schedule.next(99)).toBeUndefined();
    expect(started(schedule, 250)).toEqual(['early']);
    schedule.move(early, 'over', 250);
    expect(started(schedule, 250)).toEqual(['late']);
    expect(schedule.dueAt).toBe(Number.POSITIVE_INFINITY);
  });

  it('names the one that has been idle longest when there are too many, as long as others have not been tried', () => {
    const schedule = create({ jobs: 300 });
    const tasks = Array.from({ length: 257 }, (_, n) => task(String(n)));
    for (const each of tasks) schedule.add(each);
    for (let n = 0; n < 5; n++)
      for (const name of started(schedule, 0)) schedule.move(tasks[Number(name)]!, 'downloading', 0);
    expect(schedule.counts.downloading).toBe(257);
    expect(schedule.demoted(60_000)).toBeUndefined();
    schedule.add(task('new'));
    expect(schedule.next(60_000)).toBeUndefined();
    schedule.onBytes(tasks[0]!, 1, MIB, 1000);
    expect(schedule.demoted(14_999)).toBeUndefined();
    expect(schedule.demoted(15_000)?.name).toBe('1');
  });

  it('is over when everything is', () => {
    const schedule = create();
    const only = task('only');
    expect(schedule.isOver).toBe(true);
    schedule.add(only);
    schedule.next(0);
    schedule.postpone(only, 10);
    expect(schedule.isOver).toBe(false);
    schedule.next(10);
    schedule.move(only, 'over', 11);
    expect(schedule.isOver).toBe(true);
  });

  it('loses nothing and runs nothing twice, whatever happens', () => {
    const step = fc.record({
      what: fc.constantFrom('add', 'next', 'end', 'postpone'),
      pick: fc.nat(),
      ms: fc.nat(5000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 4 }), (steps, jobs) => {
        const schedule = create({ jobs });
        const queued: Named[] = [];
        let waiting: { task: Named; at: number }[] = [];
        const running: Named[] = [];
        let [now, over] = [0, 0];
        for (const { what, pick, ms } of steps) {
          now += ms % 100;
          if (what === 'add') {
            const added = task(String(queued.length));
            queued.push(added);
            schedule.add(added);
          } else if (what === 'next') {
            const next = schedule.next(now);
            const due = waiting.filter(({ at }) => at <= now).sort((a, b) => a.at - b.at)[0];
            if (next === undefined) continue;
            if (due === undefined) expect(next).toBe(queued.shift());
            else {
              expect(waiting.some((each) => each.task === next && each.at === due.at)).toBe(true);
              waiting = waiting.filter((each) => each.task !== next);
            }
            running.push(next);
          } else if (running.length > 0) {
            const [ended] = running.splice(pick % running.length, 1);
            if (what === 'end') {
              schedule.move(ended!, 'over', now);
              over++;
            } else {
              schedule.postpone(ended!, now + ms);
              waiting.push({ task: ended!, at: now + ms });
            }
          }
          expect(schedule.counts).toMatchObject({
            queued: queued.length,
            waiting: waiting.length,
            reading: running.length,
            over,
          });
          expect(schedule.isOver).toBe(queued.length + waiting.length + running.length === 0);
        }
      }),
    );
  });
});
