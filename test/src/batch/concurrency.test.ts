import { describe, expect, it } from 'vitest';
import { Concurrency } from '../../../src/batch/concurrency.js';

const MIB = 1_048_576;

/** How many jobs are allowed that have so much left each. */
function allowed(concurrency: Concurrency, leftEach: number, now: number): number {
  let jobs = 0;
  while (jobs < 10_000 && concurrency.allows(jobs, jobs * leftEach, now)) jobs++;
  return jobs;
}

/** A swarm in which so many jobs bring so many bytes per second, for a while. */
function run(concurrency: Concurrency, seconds: number, from: number, rate: (jobs: number) => number): number {
  let now = from;
  for (; now < from + seconds * 1000; now += 200) {
    const jobs = allowed(concurrency, 1024 * MIB, now);
    concurrency.onBytes(rate(jobs) / 5, true, now);
  }
  return now;
}

describe('Concurrency', () => {
  it('keeps to what the user says', () => {
    const concurrency = new Concurrency({ jobs: 5, cores: 8 });
    expect(allowed(concurrency, 1, 0)).toBe(5);
    run(concurrency, 60, 0, (jobs) => jobs * MIB);
    expect(allowed(concurrency, 1, 60_000)).toBe(5);
  });

  it('begins with three large torrents for each core', () => {
    expect(allowed(new Concurrency({ cores: 2 }), 1024 * MIB, 0)).toBe(6);
    expect(allowed(new Concurrency({ cores: 8 }), 1024 * MIB, 0)).toBe(24);
  });

  it('overlaps small torrents, as many as 768 MiB of them before anything is measured, 512 at most', () => {
    expect(allowed(new Concurrency({ cores: 2 }), 16 * MIB, 0)).toBe(48);
    expect(allowed(new Concurrency({ cores: 2 }), 4 * MIB, 0)).toBe(192);
    expect(allowed(new Concurrency({ cores: 2 }), MIB, 0)).toBe(512);
  });

  it('overlaps three seconds of them at the measured rate', () => {
    const concurrency = new Concurrency({ cores: 2 });
    for (let now = 0; now <= 5000; now += 200) concurrency.onBytes((800 * MIB) / 5, false, now);
    const jobs = allowed(concurrency, 8 * MIB, 5000);
    expect(jobs).toBeGreaterThanOrEqual(280);
    expect(jobs).toBeLessThanOrEqual(320);
  });

  it('adds more as long as more bring more', () => {
    const concurrency = new Concurrency({ cores: 2 });
    const now = run(concurrency, 180, 0, (jobs) => Math.min(jobs, 300) * 50 * 1024);
    expect(allowed(concurrency, 1024 * MIB, now)).toBeGreaterThanOrEqual(300);
  });

  it('adds none while the line is full', () => {
    const concurrency = new Concurrency({ cores: 2 });
    const now = run(concurrency, 55, 0, () => 100 * MIB);
    expect(allowed(concurrency, 1024 * MIB, now)).toBe(9);
  });

  it('goes back to what there was when more bring less, and tries again a minute later', () => {
    const concurrency = new Concurrency({ cores: 2 });
    let now = run(concurrency, 55, 0, (jobs) => (jobs > 6 ? 50 : 100) * MIB);
    expect(allowed(concurrency, 1024 * MIB, now)).toBe(6);
    now = run(concurrency, 60, now, (jobs) => Math.min(jobs, 9) * MIB);
    expect(allowed(concurrency, 1024 * MIB, now)).toBeGreaterThanOrEqual(9);
  });

  it('learns nothing from a rate at which not all that are allowed had work', () => {
    const concurrency = new Concurrency({ cores: 2 });
    for (let now = 0; now < 60_000; now += 200) concurrency.onBytes(MIB, false, now);
    expect(allowed(concurrency, 1024 * MIB, 60_000)).toBe(6);
  });
});
