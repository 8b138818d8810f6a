import { describe, expect, it } from 'vitest';
import { outOfPatience, type Prospects } from '../../src/patience.js';

const WAITING: Prospects = {
  everConnected: false,
  activeMs: 1_000,
  idleMs: 1_000,
  hopeless: false,
  announces: true,
  knownPeers: 0,
  trackerError: undefined,
  sawCorruption: false,
  options: { peerTimeoutMs: 60_000, stallTimeoutMs: 300_000 },
};

const judge = (changes: Partial<Prospects>) => outOfPatience({ ...WAITING, ...changes });

describe('outOfPatience', () => {
  it('waits for a first peer as long as it is told, and no longer', () => {
    expect(judge({ activeMs: 59_999 })).toBeUndefined();
    expect(judge({ activeMs: 60_000 })?.code).toBe('UNAVAILABLE');
  });

  it('waits for a byte as long as it is told once a peer was there', () => {
    expect(judge({ everConnected: true, activeMs: 1e9, idleMs: 299_999 })).toBeUndefined();
    expect(judge({ everConnected: true, idleMs: 300_000 })?.code).toBe('STALLED');
  });

  it('waits for ever with a limit of 0', () => {
    const options = { peerTimeoutMs: 0, stallTimeoutMs: 0 };
    expect(judge({ options, activeMs: 1e12 })).toBeUndefined();
    expect(judge({ options, everConnected: true, idleMs: 1e12 })).toBeUndefined();
  });

  it('gives up at once where there is no hope, whatever the limit', () => {
    const options = { peerTimeoutMs: 0, stallTimeoutMs: 0 };
    expect(judge({ options, hopeless: true })?.code).toBe('UNAVAILABLE');
    expect(judge({ options, hopeless: true, everConnected: true })?.code).toBe('STALLED');
  });

  it('blames bad data when pieces failed their hash', () => {
    const error = judge({ hopeless: true, everConnected: true, sawCorruption: true });
    expect(error?.code).toBe('BAD_DATA');
    expect(error?.message).toBe('1 s without a byte: every peer left sent bad data');
  });

  it('names what was tried: peers, the tracker, or that there is neither', () => {
    const over = { activeMs: 60_000 };
    expect(judge({ ...over, knownPeers: 3 })?.message).toBe('none of 3 peers could be reached after 60 s');
    expect(judge({ ...over, trackerError: 'http://t/: refused' })?.message).toBe(
      'no peer is known after 60 s; tracker http://t/: refused',
    );
    expect(judge({ ...over, announces: false })?.message).toBe(
      'no peer is known after 60 s; the torrent names no tracker, add --tracker or --peer',
    );
  });
});
