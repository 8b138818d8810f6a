import { describe, expect, it } from 'vitest';
import { Patience, type Prospects } from '../../src/patience.js';

const WAITING: Prospects = {
  everConnected: false,
  hopeless: false,
  announces: true,
  knownPeers: 0,
  isQueued: false,
  trackerError: undefined,
  sawCorruption: false,
  isWriting: false,
};
const PEERS: Prospects = { ...WAITING, everConnected: true };
const TICK_MS = 100;
const OPTIONS = { peerTimeoutMs: 60_000, stallTimeoutMs: 300_000, haveBatchMs: TICK_MS, quietPeerMs: 30_000 };
const FOR_EVER = { ...OPTIONS, peerTimeoutMs: 0, stallTimeoutMs: 0 };

/** A download whose session ticks as it should. */
class Waiting {
  readonly patience: Patience;
  #now = 5_000;

  constructor(options = OPTIONS) {
    this.patience = new Patience(options, this.#now);
  }

  /** @returns what the last tick within a time says */
  wait(ms: number, prospects: Prospects = WAITING) {
    for (let left = ms; left > TICK_MS; left -= TICK_MS) this.tick(TICK_MS, prospects);
    return this.tick(ms % TICK_MS || TICK_MS, prospects);
  }

  tick(ms: number, prospects: Prospects = WAITING) {
    this.#now += ms;
    return this.patience.onTick(prospects, this.#now);
  }
}

it('a download starves when no byte has come for as long as makes a peer a quiet one', () => {
  const waiting = new Waiting();
  waiting.wait(TICK_MS, PEERS);
  waiting.wait(29_900, PEERS);
  expect(waiting.patience.isStarving).toBe(false);
  waiting.wait(TICK_MS, PEERS);
  expect(waiting.patience.isStarving).toBe(true);
  waiting.patience.onProgress();
  expect(waiting.patience.isStarving).toBe(false);
});

describe('a download without a peer', () => {
  it('waits for the first one as long as it is told, and no longer', () => {
    const waiting = new Waiting();
    expect(waiting.wait(59_999)).toBeUndefined();
    expect(waiting.tick(1)?.code).toBe('UNAVAILABLE');
  });

  it('waits for ever with a limit of 0', () => {
    expect(new Waiting(FOR_EVER).wait(1e6)).toBeUndefined();
  });

  it('counts no time in which its first announce waited for its turn', () => {
    const waiting = new Waiting();
    expect(waiting.wait(400_000, { ...WAITING, isQueued: true })).toBeUndefined();
    expect(waiting.wait(59_999)).toBeUndefined();
    expect(waiting.tick(1)?.message).toBe('no peer is known after 60 s');
  });

  it('names what was tried: peers, the tracker, or that there is neither', () => {
    const over = (changes: Partial<Prospects>) => new Waiting().wait(60_000, { ...WAITING, ...changes })?.message;
    expect(over({ knownPeers: 3 })).toBe('none of 3 peers could be reached after 60 s');
    expect(over({ trackerError: 'http://t/: refused' })).toBe(
      'no peer is known after 60 s; tracker http://t/: refused',
    );
    expect(over({ announces: false })).toBe(
      'no peer is known after 60 s; the torrent names no tracker, add --tracker or --peer',
    );
  });
});

describe('a download with peers', () => {
  it('waits for a byte as long as it is told, from the first peer on', () => {
    const waiting = new Waiting({ ...OPTIONS, peerTimeoutMs: 0 });
    waiting.wait(400_000);
    expect(waiting.tick(1, PEERS)).toBeUndefined();
    expect(waiting.wait(299_999, PEERS)).toBeUndefined();
    expect(waiting.tick(1, PEERS)?.code).toBe('STALLED');
  });

  it('waits anew after each byte, also when nobody is left', () => {
    const waiting = new Waiting();
    waiting.wait(299_999, PEERS);
    waiting.patience.onProgress();
    expect(waiting.wait(299_999, PEERS)).toBeUndefined();
    expect(waiting.tick(1, PEERS)?.code).toBe('STALLED');
  });

  it('waits for ever with a limit of 0', () => {
    expect(new Waiting(FOR_EVER).wait(1e6, PEERS)).toBeUndefined();
  });

  it('does not blame them while pieces wait for the disk', () => {
    const waiting = new Waiting();
    expect(waiting.wait(400_000, { ...PEERS, isWriting: true })).toBeUndefined();
    expect(waiting.tick(1, { ...PEERS, isWriting: true, hopeless: true })).toBeUndefined();
    expect(waiting.wait(299_999, PEERS)).toBeUndefined();
    expect(waiting.tick(1, PEERS)?.code).toBe('STALLED');
  });

  it('blames bad data when pieces failed their hash', () => {
    const waiting = new Waiting();
    waiting.wait(1_000, PEERS);
    const error = waiting.tick(0, { ...PEERS, hopeless: true, sawCorruption: true });
    expect(error?.code).toBe('BAD_DATA');
    expect(error?.message).toBe('1 s without a byte: every peer left sent bad data');
  });
});

describe('any download', () => {
  it('gives up at once where there is no hope, whatever the limit', () => {
    expect(new Waiting(FOR_EVER).tick(1, { ...WAITING, hopeless: true })?.code).toBe('UNAVAILABLE');
    expect(new Waiting(FOR_EVER).tick(1, { ...PEERS, hopeless: true })?.code).toBe('STALLED');
  });

  it('counts no time in which it was stopped: nothing was heard of the swarm', () => {
    const waiting = new Waiting();
    expect(waiting.tick(1e9)).toBeUndefined();
    expect(waiting.tick(1, PEERS)).toBeUndefined();
    expect(waiting.tick(1e9, PEERS)).toBeUndefined();
  });
});
