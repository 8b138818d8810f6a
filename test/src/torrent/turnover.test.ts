import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Turnover, type TurnoverPeer } from '../../../src/torrent/turnover.js';

interface Peer extends TurnoverPeer {
  readonly priority: number | undefined;
}

const peer = (n: number, priority?: number, group = 0): Peer => ({ group, peer: n, incoming: n % 2 === 1, priority });
const priorityOf = (connection: Peer): number | undefined => connection.priority;

describe('who has to go', () => {
  it('is the useless peer of lowest priority, of equals the first', () => {
    const turnover = new Turnover<Peer>(10);
    turnover.onSurvey(0, [2, 3, 4, 5], [1]);
    const peers = [peer(1, 0), peer(2, 9), peer(3, 7), peer(4, 8), peer(5, 7)];
    const choose = () => turnover.choose(peers, priorityOf, undefined, 0)?.peer;
    expect([choose(), choose(), choose(), choose(), choose()]).toEqual([3, 5, 4, 2, undefined]);
  });

  it('is the first useless peer where no priority is known', () => {
    const turnover = new Turnover<Peer>(10);
    turnover.onSurvey(0, [2, 3], []);
    expect(turnover.choose([peer(1), peer(2), peer(3)], priorityOf, undefined, 0)?.peer).toBe(2);
  });

  it('is a quiet peer only for a newcomer of higher priority, and while nobody is useless', () => {
    const turnover = new Turnover<Peer>(10);
    turnover.onSurvey(0, [], [1, 2, 3, 4]);
    const peers = [peer(1, 50), peer(2, 40), peer(3, undefined), peer(4, 60)];
    expect(turnover.choose(peers, priorityOf, undefined, 0)).toBeUndefined();
    expect(turnover.choose(peers, priorityOf, 40, 0)).toBeUndefined();
    expect(turnover.choose(peers, priorityOf, 41, 0)?.peer).toBe(2);
    turnover.onSurvey(0, [4], [1, 2, 3]);
    expect(turnover.choose(peers, priorityOf, 99, 0)?.peer).toBe(4);
  });

  it('is a few a minute', () => {
    const turnover = new Turnover<Peer>(2);
    turnover.onSurvey(0, [1, 2, 3, 4], []);
    const peers = [1, 2, 3, 4].map((n) => peer(n, n));
    const choose = (now: number) => turnover.choose(peers, priorityOf, undefined, now)?.peer;
    expect([choose(0), choose(10_000), choose(59_999)]).toEqual([1, 2, undefined]);
    expect([turnover.canChoose(59_999), turnover.canChoose(60_000)]).toEqual([false, true]);
    expect([choose(60_000), choose(60_001), choose(70_000)]).toEqual([3, undefined, 4]);
  });

  it('is anybody quiet in a torrent that starves, and ten times as many', () => {
    const turnover = new Turnover<Peer>(1);
    turnover.onSurvey(0, [12], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const peers = Array.from({ length: 12 }, (_, n) => peer(n + 1, n));
    const choose = () => turnover.choose(peers, priorityOf, undefined, 0)?.peer;
    expect([choose(), choose()]).toEqual([12, undefined]);
    turnover.isStarving = true;
    expect(Array.from({ length: 10 }, choose)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, undefined]);
  });

  it('counts as leaving until it has gone, or its group has found it of use again', () => {
    const turnover = new Turnover<Peer>(10);
    turnover.onSurvey(0, [1, 2], []);
    turnover.onSurvey(1, [1], []);
    const peers = [peer(1, 1), peer(2, 2), peer(1, 3, 1)];
    for (let i = 0; i < 3; i++) turnover.choose(peers, priorityOf, undefined, 0);
    expect([turnover.leaving(true), turnover.leaving(false)]).toEqual([2, 1]);
    turnover.onSurvey(0, [1], []);
    expect([turnover.leaving(true), turnover.leaving(false)]).toEqual([2, 0]);
    turnover.onGone(peers[0]!);
    expect(turnover.leaving(true)).toBe(1);
    turnover.onGroupDeath(1);
    expect(turnover.leaving(true)).toBe(0);
    expect(turnover.choose([peers[2]!], priorityOf, undefined, 0)).toBeUndefined();
  });

  it('is nobody where groups have found nobody', () => {
    const turnover = new Turnover<Peer>(10);
    expect(turnover.canChoose(0)).toBe(false);
    turnover.onSurvey(0, [], []);
    expect(turnover.canChoose(0)).toBe(false);
    expect(turnover.choose([peer(1, 1)], priorityOf, 9, 0)).toBeUndefined();
  });

  it('is what a look at all of them says, never twice, never too many', () => {
    const state = fc.constantFrom('used', 'quiet', 'useless');
    const all = fc.array(fc.record({ state, priority: fc.option(fc.nat(20), { nil: undefined }) }), { maxLength: 12 });
    const asks = fc.array(fc.tuple(fc.option(fc.nat(20), { nil: undefined }), fc.nat(30_000)), { maxLength: 30 });
    fc.assert(
      fc.property(all, asks, fc.integer({ min: 0, max: 4 }), (states, questions, perMinute) => {
        const turnover = new Turnover<Peer>(perMinute);
        const peers = states.map(({ priority }, index) => peer(index, priority));
        const those = (wanted: string) => states.flatMap(({ state }, index) => (state === wanted ? [index] : []));
        turnover.onSurvey(0, those('useless'), those('quiet'));
        const gone = new Set<number>();
        const chosenAt: number[] = [];
        let now = 0;
        for (const [newcomer, ms] of questions) {
          now += ms;
          const chosen = turnover.choose(peers, priorityOf, newcomer, now);
          const left = peers.filter(({ peer }) => !gone.has(peer));
          const useless = left.filter(({ peer }) => states[peer]!.state === 'useless');
          const outranked = left.filter(
            ({ peer, priority }) =>
              states[peer]!.state === 'quiet' &&
              priority !== undefined &&
              newcomer !== undefined &&
              priority < newcomer,
          );
          const pool = useless.length > 0 ? useless : outranked;
          const lowest = Math.min(...pool.map(({ priority }) => priority ?? 2 ** 31));
          const expected = pool.find(({ priority }) => (priority ?? 2 ** 31) === lowest);
          const isTooSoon = chosenAt.filter((at) => now - at < 60_000).length >= perMinute;
          expect(chosen).toBe(isTooSoon ? undefined : expected);
          if (chosen === undefined) continue;
          gone.add(chosen.peer);
          chosenAt.push(now);
        }
      }),
    );
  });
});
