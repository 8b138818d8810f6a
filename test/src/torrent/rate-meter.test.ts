import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RateMeter } from '../../../src/torrent/rate-meter.js';

describe('RateMeter', () => {
  it('is 0 before anything was added', () => {
    expect(new RateMeter().bytesPerSecond(1_000_000)).toBe(0);
  });

  it.each([0, 1, 249, 1_000_000_007.5])('shows a steady rate within 5% whenever it starts: at %d ms', (start) => {
    const meter = new RateMeter();
    for (let ms = 0; ms < 20_000; ms += 10) {
      meter.add(1_000, start + ms);
      if (ms < 500) continue;
      const rate = meter.bytesPerSecond(start + ms);
      expect(rate / 100_000).toBeGreaterThan(0.94);
      expect(rate / 100_000).toBeLessThan(1.06);
    }
  });

  it('counts what came at once over a quarter of a second at least', () => {
    const meter = new RateMeter();
    meter.add(1_000, 5_000);
    expect(meter.bytesPerSecond(5_000)).toBe(4_000);
    expect(meter.bytesPerSecond(5_500)).toBe(2_000);
    expect(meter.bytesPerSecond(7_000)).toBe(500);
  });

  it('forgets what is older than 5 s, at the latest', () => {
    const meter = new RateMeter();
    meter.add(1_000_000, 100);
    expect(meter.bytesPerSecond(4_900)).toBeGreaterThan(0);
    expect(meter.bytesPerSecond(5_250)).toBe(0);
    meter.add(500, 1_000_000);
    expect(meter.bytesPerSecond(1_000_000)).toBe(100);
  });

  it('takes a time that steps back for the newest one', () => {
    const meter = new RateMeter();
    meter.add(1_000, 10_000);
    meter.add(1_000, 9_000);
    expect(meter.bytesPerSecond(11_000)).toBe(2_000);
  });

  it('never shows more than came nor less than came within the last 4.75 s', () => {
    const adds = fc.array(fc.tuple(fc.integer({ min: 0, max: 2_000 }), fc.nat(10_000)), { minLength: 1 });
    fc.assert(
      fc.property(adds, fc.nat(10_000), (script, wait) => {
        const meter = new RateMeter();
        let now = 777;
        const log: [number, number][] = [];
        for (const [pause, bytes] of script) {
          now += pause;
          meter.add(bytes, now);
          log.push([now, bytes]);
        }
        now += wait;
        const since = (ms: number): number => log.reduce((sum, [at, bytes]) => sum + (now - at <= ms ? bytes : 0), 0);
        const elapsed = Math.min(Math.max(now - log[0]![0], 250), 5_000);
        const bytes = (meter.bytesPerSecond(now) * elapsed) / 1_000;
        expect(bytes).toBeGreaterThanOrEqual(since(4_750) - 1e-6);
        expect(bytes).toBeLessThanOrEqual(since(5_000) + 1e-6);
      }),
    );
  });
});
