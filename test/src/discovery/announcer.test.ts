import { describe, expect, it } from 'vitest';
import {
  Announcer,
  type AnnouncerSettings,
  type Progress,
  type TrackerStatus,
} from '../../../src/discovery/announcer.js';
import { DEFAULTS } from '../../../src/options.js';
import type { PeerAddress } from '../../../src/protocol/address.js';
import { settle, VirtualClock } from '../../helpers/tracker-clock.js';
import { FakeTrackers, type Reaction } from '../../helpers/tracker-fake.js';

const INFOHASH = new Uint8Array(20).fill(1);
const PEER_ID = new Uint8Array(20).fill(2);
const A = 'http://a/';
const B = 'udp://b:1';
const C = 'https://c/';
const D = 'udp://d:1';

const peer = (port: number): PeerAddress => ({ host: '1.2.3.4', port });

/** An announcer on virtual time with scripted trackers; it announces as soon as `start` is called. */
class Bench {
  readonly clock = new VirtualClock();
  readonly trackers = new FakeTrackers(this.clock);
  readonly statuses: TrackerStatus[] = [];
  readonly batches: (readonly PeerAddress[])[] = [];
  readonly abort = new AbortController();
  readonly closing = new AbortController();
  progress: Progress = { uploaded: 0, downloaded: 0, left: 16_384 };
  ended = false;
  failure: unknown;
  readonly announcer: Announcer;

  constructor(tiers: string[][], settings: Partial<AnnouncerSettings> = {}) {
    this.announcer = new Announcer(
      {
        tiers,
        infohash: INFOHASH,
        peerId: PEER_ID,
        port: 6881,
        progress: () => this.progress,
        onStatus: (status) => this.statuses.push(status),
        families: [4],
        options: DEFAULTS,
        ...settings,
      },
      // 0.999… leaves the order within tiers as it is.
      {
        http: this.trackers,
        udp: this.trackers,
        clock: this.clock,
        random: () => 0.999_999,
        closing: this.closing.signal,
      },
    );
  }

  on(url: string, reaction: Reaction | undefined): this {
    this.trackers.on(url, () => reaction);
    return this;
  }

  /** A tracker that reacts by family. */
  onEach(url: string, four: Reaction | undefined, six: Reaction | undefined): this {
    this.trackers.on(url, ({ family }) => (family === 4 ? four : six));
    return this;
  }

  async start(): Promise<this> {
    void this.#listen();
    await this.clock.advance(0);
    return this;
  }

  async #listen(): Promise<void> {
    try {
      for await (const batch of this.announcer.peers(this.abort.signal)) this.batches.push(batch);
    } catch (error) {
      this.failure = error;
    }
    this.ended = true;
  }

  /** What was announced since the last call, as `seconds url event`, with `v6` behind what went over IPv6. */
  log(): string[] {
    const entries = this.trackers.announced.splice(0);
    return entries.map(({ at, url, event, family }) =>
      [at / 1000, url, event, family === 6 ? 'v6' : undefined].filter((part) => part !== undefined).join(' '),
    );
  }
}

describe('the first round', () => {
  it('starts with all tiers at once and ends when each has an answer', async () => {
    const bench = new Bench([[A], [B], [C]]);
    bench.on(A, { afterMs: 1_500, answer: { peers: [peer(1)] } });
    bench.on(B, { afterMs: 500, answer: { peers: [peer(2), peer(3)] } });
    bench.on(C, { afterMs: 1_000 });
    let isOver = false;
    void bench.announcer.firstRound.then(() => {
      isOver = true;
    });
    await bench.start();
    expect(bench.log()).toEqual([`0 ${A} started`, `0 ${B} started`, `0 ${C} started`]);
    await bench.clock.advance(500);
    expect(bench.batches).toEqual([[peer(2), peer(3)]]);
    await bench.clock.advance(999);
    expect(isOver).toBe(false);
    await bench.clock.advance(1);
    expect(isOver).toBe(true);
    expect(bench.batches).toEqual([[peer(2), peer(3)], [peer(1)]]);
  });

  it('has asked when the first announce of any tier no longer waits for its turn', async () => {
    const bench = new Bench([[A], [B]]);
    bench.on(A, { queuedMs: 90_000, afterMs: 1_000 }).on(B, { queuedMs: 40_000, afterMs: 1_000 });
    await bench.start();
    await bench.clock.advance(39_999);
    expect(bench.announcer.hasAsked).toBe(false);
    await bench.clock.advance(1);
    expect(bench.announcer.hasAsked).toBe(true);
  });

  it('has asked when there is no tracker that could be', async () => {
    const bench = await new Bench([['wss://x/']]).start();
    expect(bench.announcer.hasAsked).toBe(true);
  });

  it('sends the numbers as they are at that moment', async () => {
    const bench = new Bench([[A]]);
    bench.progress = { uploaded: 5, downloaded: 6, left: 7 };
    await bench.start();
    expect(bench.trackers.announced[0]!.request).toEqual({
      infohash: INFOHASH,
      peerId: PEER_ID,
      port: 6881,
      uploaded: 5,
      downloaded: 6,
      left: 7,
      numwant: 200,
      key: Math.floor(0.999_999 * 2 ** 32),
      event: 'started',
      trackerId: undefined,
    });
    bench.progress = { uploaded: 15, downloaded: 16, left: 0 };
    await bench.clock.advance(600_000);
    expect(bench.trackers.announced[1]!.request).toMatchObject({
      uploaded: 15,
      downloaded: 16,
      left: 0,
      event: undefined,
    });
  });

  it('asks the next of a tier when one has failed, or hesitates for 2 s, and none after an answer', async () => {
    const bench = new Bench([[A, B, C, D]]);
    bench.on(A, { afterMs: 300, failure: 'no' });
    bench.on(B, undefined);
    bench.on(C, { afterMs: 1_000 });
    await bench.start();
    await bench.clock.advance(10_000);
    expect(bench.log()).toEqual([`0 ${A} started`, `0.3 ${B} started`, `2.3 ${C} started`]);
  });

  it('asks at most 16 tiers at once', async () => {
    const tiers = Array.from({ length: 20 }, (_, i) => [`udp://t${i}:1`]);
    const bench = new Bench(tiers);
    for (const [url] of tiers) bench.on(url!, { afterMs: 1_000 });
    await bench.start();
    expect(bench.trackers.pending).toBe(16);
    await bench.clock.advance(1_000);
    expect(bench.trackers.pending).toBe(4);
  });

  it('uses UDP and HTTP clients by scheme and reports other schemes once', async () => {
    const clock = new VirtualClock();
    const [http, udp] = [new FakeTrackers(clock), new FakeTrackers(clock)];
    const statuses: TrackerStatus[] = [];
    const tiers = [['HTTP://a/', 'wss://w/'], ['https://c/'], ['UDP://b:1', 'nonsense']];
    const options = { ...DEFAULTS, announceMaxMs: 60_000 };
    const onStatus = (status: TrackerStatus): unknown => statuses.push(status);
    const progress = (): Progress => ({ uploaded: 0, downloaded: 0, left: 1 });
    const announcer = new Announcer(
      { tiers, infohash: INFOHASH, peerId: PEER_ID, port: 1, progress, onStatus, options },
      { http, udp, clock, random: () => 0.999_999, closing: new AbortController().signal },
    );
    const abort = new AbortController();
    const ended = announcer.peers(abort.signal).next();
    await clock.advance(200_000);
    abort.abort();
    await ended;
    expect([...new Set(http.announced.map(({ url }) => url))]).toEqual(['HTTP://a/', 'https://c/']);
    expect([...new Set(udp.announced.map(({ url }) => url))]).toEqual(['UDP://b:1']);
    const errors = statuses.filter(({ state }) => state === 'error');
    expect(errors).toEqual(
      ['wss://w/', 'nonsense'].map((url) => ({
        url,
        state: 'error',
        message: 'expected an http, https or udp tracker',
        peers: 0,
      })),
    );
  });
});

describe('later rounds', () => {
  it('ask in order and end with the first answer', async () => {
    const bench = await new Bench([[A], [B]]).on(A, { answer: { intervalMs: 100_000 } }).start();
    bench.log();
    await bench.clock.advance(250_000);
    expect(bench.log()).toEqual([`100 ${A}`, `200 ${A}`]);
    bench.on(A, { failure: 'gone' });
    await bench.clock.advance(50_000);
    expect(bench.log()).toEqual([`300 ${A}`, `300 ${B}`]);
    await bench.clock.advance(600_000);
    expect(bench.log()).toEqual([`900 ${A}`, `900 ${B}`]);
  });

  it('begin with what answered last in its tier', async () => {
    const bench = await new Bench([[A, B]]).on(A, { failure: 'no' }).start();
    expect(bench.log()).toEqual([`0 ${A} started`, `0 ${B} started`]);
    await bench.clock.advance(600_000);
    expect(bench.log()).toEqual([`600 ${B}`]);
    bench.on(A, {}).on(B, { failure: 'no' });
    await bench.clock.advance(600_000);
    expect(bench.log()).toEqual([`1200 ${B}`, `1200 ${A} started`]);
    await bench.clock.advance(600_000);
    expect(bench.log()).toEqual([`1800 ${A}`]);
  });

  it('in a tier won by the quicker of two begin with that one', async () => {
    const bench = new Bench([[A, B]]).on(A, { afterMs: 4_000 }).on(B, { afterMs: 500 });
    await bench.start();
    await bench.clock.advance(5_000);
    expect(bench.log()).toEqual([`0 ${A} started`, `2 ${B} started`]);
    await bench.clock.advance(600_000);
    expect(bench.log()).toEqual([`602.5 ${B}`]);
  });

  it.each([
    ['shorter than allowed', { intervalMs: 1_000 }, 30],
    ['longer than allowed', { intervalMs: 1e9 }, 3600],
    ['missing', { intervalMs: undefined }, 1800],
    ['shorter than its own minimum', { intervalMs: 60_000, minIntervalMs: 90_000 }, 90],
  ])('keep to the bounds when the interval is %s', async (_, answer, seconds) => {
    const bench = await new Bench([[A]]).on(A, { answer }).start();
    bench.log();
    await bench.clock.advance(seconds * 1000 - 1);
    expect(bench.log()).toEqual([]);
    await bench.clock.advance(1);
    expect(bench.log()).toEqual([`${seconds} ${A}`]);
  });

  it('echo the tracker id', async () => {
    const bench = await new Bench([[A]]).on(A, { answer: { trackerId: Uint8Array.of(9) } }).start();
    await bench.clock.advance(600_000);
    expect(bench.trackers.announced.map(({ request }) => request.trackerId)).toEqual([undefined, Uint8Array.of(9)]);
  });

  it('back off, doubling, while every tracker fails, and recover', async () => {
    const bench = new Bench([[A], [B]]).on(A, { failure: 'no' }).on(B, { failure: 'no' });
    await bench.start();
    await bench.clock.advance(36_000);
    const at = (second: number): string[] => [`${second} ${A} started`, `${second} ${B} started`];
    expect(bench.log()).toEqual([0, 5, 15, 35].flatMap(at));
    bench.on(A, {});
    await bench.clock.advance(40_000);
    expect(bench.log()).toEqual([`75 ${A} started`]);
    await bench.clock.advance(600_000);
    expect(bench.log()).toEqual([`675 ${A}`]);
  });

  it('leave a dead tracker alone for as long as its own back-off, others or not', async () => {
    const bench = new Bench([[A], [B]]).on(A, { afterMs: 15_000, failure: 'no answer' }).on(B, { failure: 'no' });
    await bench.start();
    await bench.clock.advance(40_000);
    // B fails at 0, 15 and 40 s; A at 15 and, asked at 20 s, at 35 s.
    expect(bench.log()).toEqual([
      `0 ${A} started`,
      `0 ${B} started`,
      `15 ${B} started`,
      `20 ${A} started`,
      `35 ${B} started`,
    ]);
  });
});

describe('wanting more peers', () => {
  it('announces again as soon as the min interval allows, once', async () => {
    const bench = await new Bench([[A]]).on(A, { answer: { minIntervalMs: 120_000 } }).start();
    bench.log();
    await bench.clock.advance(10_000);
    bench.announcer.wantMore();
    bench.announcer.wantMore();
    await bench.clock.advance(109_999);
    expect(bench.log()).toEqual([]);
    await bench.clock.advance(1);
    expect(bench.log()).toEqual([`120 ${A}`]);
    await bench.clock.advance(599_999);
    expect(bench.log()).toEqual([]);
    await bench.clock.advance(1);
    expect(bench.log()).toEqual([`720 ${A}`]);
  });

  it('announces at once when the min interval has passed', async () => {
    const bench = await new Bench([[A]]).start();
    bench.log();
    await bench.clock.advance(100_000);
    bench.announcer.wantMore();
    await bench.clock.advance(0);
    expect(bench.log()).toEqual([`100 ${A}`]);
  });

  it('turns to trackers that were not needed before', async () => {
    const bench = await new Bench([[A, B]]).start();
    bench.log();
    await bench.clock.advance(1_000);
    bench.announcer.wantMore();
    await bench.clock.advance(100_000);
    expect(bench.log()).toEqual([`1 ${B} started`]);
  });

  it('asks less and less often when a tracker names no min interval', async () => {
    const bench = await new Bench([[A]]).on(A, { answer: { intervalMs: 3_600_000 } }).start();
    bench.log();
    for (let second = 0; second < 1_000; second++) {
      bench.announcer.wantMore();
      await bench.clock.advance(1_000);
    }
    expect(bench.log()).toEqual([30, 90, 210, 450, 930].map((second) => `${second} ${A}`));
  });
});

describe('completing', () => {
  it('is told at once, once, to every tracker that knows us', async () => {
    const bench = await new Bench([[A], [B], [C]]).on(C, { failure: 'no' }).start();
    bench.log();
    bench.progress = { uploaded: 0, downloaded: 16_384, left: 0 };
    bench.announcer.completed();
    bench.announcer.completed();
    await bench.clock.advance(0);
    expect(bench.log()).toEqual([`0 ${A} completed`, `0 ${B} completed`]);
    bench.announcer.completed();
    await bench.clock.advance(600_000);
    expect(bench.log().filter((entry) => entry.includes('completed'))).toEqual([]);
  });

  it('is not what a partial seed does: it says `paused` whenever it has nothing else to tell (BEP 21)', async () => {
    const bench = await new Bench([[A]]).start();
    bench.progress = { uploaded: 0, downloaded: 100, left: 16_284, isDone: true };
    await bench.clock.advance(1_800_000);
    void bench.announcer.stop();
    await bench.clock.advance(0);
    expect(bench.log()).toEqual([
      `0 ${A} started`,
      `600 ${A} paused`,
      `1200 ${A} paused`,
      `1800 ${A} paused`,
      `1800 ${A} stopped`,
    ]);
  });

  it('is told after `started` to a tracker that is just being asked', async () => {
    const bench = await new Bench([[A]]).on(A, { afterMs: 1_000 }).start();
    bench.progress = { uploaded: 0, downloaded: 16_384, left: 0 };
    bench.announcer.completed();
    await bench.clock.advance(1_000);
    expect(bench.log()).toEqual([`0 ${A} started`, `1 ${A} completed`]);
  });

  it('is told again with the next announce when that failed', async () => {
    const bench = await new Bench([[A]]).start();
    bench.log();
    bench.on(A, { failure: 'no' });
    bench.announcer.completed();
    await bench.clock.advance(0);
    bench.on(A, {});
    await bench.clock.advance(700_000);
    expect(bench.log()).toEqual([`0 ${A} completed`, `5 ${A} completed`, `605 ${A}`]);
  });

  it('is never told when the download was complete at the start', async () => {
    const bench = new Bench([[A]]);
    bench.progress = { uploaded: 0, downloaded: 0, left: 0 };
    await bench.start();
    bench.announcer.completed();
    await bench.clock.advance(600_000);
    expect(bench.log()).toEqual([`0 ${A} started`, `600 ${A}`]);
  });
});

/** Settles in 2 s from now, no sooner, and leaves nothing under way. */
async function expectEndIn2s(bench: Bench, stopped: Promise<void>): Promise<void> {
  let isOver = false;
  void stopped.then(() => {
    isOver = true;
  });
  await bench.clock.advance(1_999);
  expect(isOver).toBe(false);
  await bench.clock.advance(1);
  expect(isOver).toBe(true);
  expect(bench.trackers.pending).toBe(0);
  expect(bench.clock.sleeping).toBe(0);
}

describe('stopping', () => {
  it('tells the trackers that know us, wants no peers, and ends the peers', async () => {
    const bench = await new Bench([[A], [B], [C]]).on(B, { failure: 'no' }).on(C, undefined).start();
    bench.log();
    const stopped = bench.announcer.stop();
    await stopped;
    await settle();
    expect(bench.trackers.announced.map(({ request }) => request.numwant)).toEqual([0]);
    expect(bench.log()).toEqual([`0 ${A} stopped`]);
    expect(bench.ended).toBe(true);
    expect(bench.failure).toBeUndefined();
    expect(bench.clock.sleeping).toBe(0);
    expect(bench.announcer.stop()).toBe(stopped);
    await bench.clock.advance(1e7);
    expect(bench.log()).toEqual([]);
  });

  it('takes 2 s at most', async () => {
    const bench = await new Bench([[A], [B]]).start();
    bench.on(A, undefined).on(B, { failure: 'no' });
    await expectEndIn2s(bench, bench.announcer.stop());
  });

  it('waits for its turn among others, however long that takes', async () => {
    const bench = await new Bench([[A]]).start();
    bench.log();
    bench.on(A, { queuedMs: 60_000, afterMs: 1_900 });
    bench.announcer.completed();
    const stopped = bench.announcer.stop();
    await bench.clock.advance(130_000);
    await stopped;
    expect(bench.log()).toEqual([`0 ${A} completed`, `61.9 ${A} stopped`]);
    expect(bench.clock.sleeping).toBe(0);
  });

  it('waits no longer for its turn than 2 s after the session began to end', async () => {
    const bench = await new Bench([[A]]).start();
    bench.on(A, { queuedMs: 60_000 });
    const stopped = bench.announcer.stop();
    await bench.clock.advance(10_000);
    bench.closing.abort();
    await expectEndIn2s(bench, stopped);
  });

  it('right after completing tells both, in this order', async () => {
    const bench = await new Bench([[A]]).start();
    bench.log();
    bench.on(A, { afterMs: 400 });
    bench.announcer.completed();
    const stopped = bench.announcer.stop();
    await bench.clock.advance(800);
    await stopped;
    expect(bench.log()).toEqual([`0 ${A} completed`, `0.4 ${A} stopped`]);
  });

  it('still works after the signal has ended the peers', async () => {
    const bench = await new Bench([[A]]).start();
    bench.log();
    bench.abort.abort();
    await settle();
    expect(bench.ended).toBe(true);
    await bench.announcer.stop();
    expect(bench.log()).toEqual([`0 ${A} stopped`]);
  });

  it('before the start asks nobody, ever', async () => {
    const bench = new Bench([[A]]);
    await bench.announcer.stop();
    await bench.announcer.firstRound;
    await bench.start();
    expect(bench.ended).toBe(true);
    expect(bench.log()).toEqual([]);
  });

  it('reports no failure to say goodbye', async () => {
    const bench = await new Bench([[A]]).start();
    bench.statuses.length = 0;
    bench.on(A, { failure: 'no' });
    await bench.announcer.stop();
    expect(bench.statuses).toEqual([]);
  });
});

describe('two address families', () => {
  const both = { families: [4, 6] as const };
  const noRoute: Reaction = { failure: 'connect ENETUNREACH 2001:db8::1:80', code: 'ENETUNREACH' };

  it('are announced over once each, with the same key, peer id and port', async () => {
    const bench = new Bench([[A], [B]], both);
    bench.onEach(A, { answer: { peers: [peer(1)] } }, { answer: { peers: [peer(2)] } });
    await bench.start();
    const requests = bench.trackers.announced.map(({ request }) => request);
    expect(new Set(requests.map(({ key, peerId, port }) => `${key} ${peerId} ${port}`)).size).toBe(1);
    expect(bench.log()).toEqual([`0 ${A} started`, `0 ${A} started v6`, `0 ${B} started`, `0 ${B} started v6`]);
    expect(bench.batches).toEqual([[peer(1)], [peer(2)]]);
    expect(bench.statuses.map(({ url, state, family }) => `${url} ${state} ${family}`)).toEqual([
      `${A} ok 4`,
      `${A} ok 6`,
      `${B} ok 4`,
      `${B} ok 6`,
    ]);
    await bench.clock.advance(600_000);
    expect(bench.log()).toEqual([`600 ${A}`, `600 ${A} v6`]);
  });

  it('are announced over only as far as they are listened on', async () => {
    const bench = await new Bench([[A]], { families: [6] }).start();
    expect(bench.log()).toEqual([`0 ${A} started v6`]);
  });

  it('give peers as each answers, and the slower keeps nobody waiting', async () => {
    const bench = new Bench([[A, B]], both);
    bench.onEach(A, { answer: { peers: [peer(1)] } }, { afterMs: 10_000, failure: 'late' });
    await bench.start();
    expect(bench.batches).toEqual([[peer(1)]]);
    await bench.clock.advance(20_000);
    // B is not needed: A has answered, and only its other address hesitates.
    expect(bench.log()).toEqual([`0 ${A} started`, `0 ${A} started v6`]);
    expect(bench.announcer.allFailed).toBe(false);
  });

  it('are one tracker: it fails when both do, is reported once and backs off once', async () => {
    const bench = new Bench([[A], [B]], both);
    bench.onEach(A, { failure: 'no' }, { failure: 'nein' });
    bench.onEach(B, { failure: 'no' }, { afterMs: 1_000, failure: 'no' });
    await bench.start();
    await bench.clock.advance(1_000);
    expect(bench.statuses).toEqual([
      { url: A, state: 'error', message: 'no; nein', peers: 0, nextMs: 5_000 },
      { url: B, state: 'error', message: 'no', peers: 0, nextMs: 5_000 },
    ]);
    expect(bench.announcer.allFailed).toBe(true);
    bench.log();
    await bench.clock.advance(4_000);
    expect(bench.log()).toEqual([`5 ${A} started`, `5 ${A} started v6`]);
  });

  it('are no failure when one of them is missing, which is tried again with the next announce', async () => {
    const bench = await new Bench([[A]], both).onEach(A, {}, noRoute).start();
    expect(bench.statuses.map(({ state }) => state)).toEqual(['ok']);
    bench.log();
    bench.onEach(A, {}, {});
    await bench.clock.advance(600_000);
    expect(bench.log()).toEqual([`600 ${A}`, `600 ${A} started v6`]);
    await bench.clock.advance(600_000);
    expect(bench.log()).toEqual([`1200 ${A}`, `1200 ${A} v6`]);
  });

  it('blame the one that was tried in earnest, and the missing ones when there is no other', async () => {
    const refused: Reaction = { failure: 'connect ECONNREFUSED 192.0.2.1:80', code: 'ECONNREFUSED' };
    const bench = new Bench([[A], [B]], both).onEach(A, refused, noRoute).on(B, noRoute);
    await bench.start();
    expect(bench.statuses.map(({ url, message }) => `${url} ${message}`)).toEqual([
      `${A} connect ECONNREFUSED 192.0.2.1:80`,
      `${B} connect ENETUNREACH 2001:db8::1:80`,
    ]);
  });

  it('are told of completion and the end as far as each knows us', async () => {
    const bench = await new Bench([[A], [B], [C]], both).onEach(B, {}, noRoute).on(C, { failure: 'no' }).start();
    bench.log();
    bench.announcer.completed();
    await bench.announcer.stop();
    expect(bench.log().sort()).toEqual(
      ['completed', 'completed v6', 'stopped', 'stopped v6']
        .map((told) => `0 ${A} ${told}`)
        .concat(`0 ${B} completed`, `0 ${B} stopped`),
    );
    expect(bench.statuses.filter(({ url, state }) => url !== C && state === 'error')).toEqual([]);
  });

  it('are told of completion when the slower one has answered after it', async () => {
    const bench = await new Bench([[A]], both).onEach(A, {}, { afterMs: 1_000 }).start();
    bench.announcer.completed();
    await bench.clock.advance(3_000);
    expect(bench.log().sort()).toEqual([
      `0 ${A} completed`,
      `0 ${A} started`,
      `0 ${A} started v6`,
      `1 ${A} completed v6`,
    ]);
  });

  it('do not make a tracker fail that only one of them did not answer `completed`', async () => {
    const bench = await new Bench([[A]], both).onEach(A, {}, { afterMs: 1_000 }).start();
    await bench.clock.advance(1_000);
    bench.onEach(A, {}, { failure: 'no' });
    bench.log();
    bench.announcer.completed();
    await bench.clock.advance(599_999);
    expect(bench.log()).toEqual([`1 ${A} completed`, `1 ${A} completed v6`]);
    bench.onEach(A, {}, {});
    await bench.clock.advance(1);
    expect(bench.log()).toEqual([`601 ${A}`, `601 ${A} completed v6`]);
  });

  it('are asked early less and less often as one', async () => {
    const bench = await new Bench([[A]], both).on(A, { answer: { intervalMs: 3_600_000 } }).start();
    bench.log();
    for (let second = 0; second < 300; second++) {
      bench.announcer.wantMore();
      await bench.clock.advance(1_000);
    }
    expect(bench.log()).toEqual([30, 90, 210].flatMap((second) => [`${second} ${A}`, `${second} ${A} v6`]));
  });
});

describe('what the owner sees', () => {
  it('is the latest of every tracker', async () => {
    const bench = new Bench([[A], [B], [C]]);
    bench.on(A, { answer: { peers: [peer(1)], seeders: 3, leechers: 4 } });
    bench.on(B, { answer: { warning: 'old client' } });
    bench.on(C, { failure: 'the tracker refused: unregistered' });
    await bench.start();
    expect(bench.statuses).toEqual([
      { url: A, state: 'ok', family: 4, peers: 1, seeders: 3, leechers: 4, nextMs: 600_000 },
      { url: B, state: 'warning', family: 4, message: 'old client', peers: 0, nextMs: 600_000 },
      { url: C, state: 'error', message: 'the tracker refused: unregistered', peers: 0, nextMs: 5_000 },
    ]);
  });

  it('tells when every tracker has failed so far', async () => {
    const bench = new Bench([[A], [B]]).on(A, { failure: 'no' }).on(B, { afterMs: 15_000, failure: 'no' });
    expect(bench.announcer.allFailed).toBe(false);
    await bench.start();
    expect(bench.announcer.allFailed).toBe(false);
    await bench.clock.advance(15_000);
    await bench.announcer.firstRound;
    expect(bench.announcer.allFailed).toBe(true);
    bench.on(A, {});
    await bench.clock.advance(25_000);
    expect(bench.announcer.allFailed).toBe(false);
    bench.on(A, { failure: 'no' });
    await bench.clock.advance(1_200_000);
    expect(bench.announcer.allFailed).toBe(false);
  });

  it('is an end at once when there is no tracker', async () => {
    const bench = await new Bench([[], ['wss://w/']]).start();
    await bench.announcer.firstRound;
    expect(bench.ended).toBe(true);
    expect(bench.announcer.allFailed).toBe(true);
    expect(bench.clock.sleeping).toBe(0);
  });

  it('is an error when its own functions throw', async () => {
    const progress = (): Progress => {
      throw new Error('a fault');
    };
    const bench = await new Bench([[A]], { progress }).start();
    expect(bench.failure).toEqual(new Error('a fault'));
    expect(bench.clock.sleeping).toBe(0);
  });

  it('ends without leftovers when it stops reading', async () => {
    const bench = new Bench([[A]]).on(A, { answer: { peers: [peer(1)] } });
    for await (const batch of bench.announcer.peers(bench.abort.signal)) {
      expect(batch).toEqual([peer(1)]);
      break;
    }
    expect(bench.clock.sleeping).toBe(0);
    await expect(bench.announcer.peers(bench.abort.signal).next()).rejects.toThrow('expected one call of peers()');
  });
});
