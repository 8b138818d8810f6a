import { describe, expect, it } from 'vitest';
import type { DisconnectReason } from '../../../src/messages.js';
import type { EncryptionMode } from '../../../src/protocol/mse.js';
import { PeerList } from '../../../src/torrent/peer-list.js';

const ADDRESS = { host: '192.0.2.1', port: 6881 };
const RECONNECT_MS = 1000;
/** The first wait for who hung up before the handshake. */
const BUSY_MS = 125;

/** A list with one address; `dial` tells how it is dialled at a time, if it is. */
function listOf(mode?: EncryptionMode): {
  list: PeerList;
  dial: (now: number) => 'plaintext' | 'encrypted' | undefined;
} {
  const list = new PeerList(Buffer.from('-SP0000-ourselves123'), RECONNECT_MS, mode);
  list.add([ADDRESS], 0);
  return {
    list,
    dial: (now) => {
      const address = list.dial(0, now);
      if (address === undefined) return undefined;
      return list.isEncrypted(address) ? 'encrypted' : 'plaintext';
    },
  };
}

const connection = {
  group: 0,
  peer: 1,
  address: ADDRESS,
  peerId: Buffer.from('-XX0001-abcdefghijkl'),
  incoming: false,
};

describe('a peer list that prefers plaintext', () => {
  it('dials encrypted at once when the peer hangs up on a plaintext handshake', () => {
    const { list, dial } = listOf();
    expect(dial(0)).toBe('plaintext');
    list.onDialFailed(ADDRESS, 'closed', 10);
    expect(list.dialling).toBe(0);
    expect(list.load(0)).toBe(0);
    expect(dial(10)).toBe('encrypted');
    expect(list.load(0)).toBe(1);
  });

  it('remembers that an address is dialled encrypted after a connection', () => {
    const { list, dial } = listOf('prefer');
    dial(0);
    list.onDialFailed(ADDRESS, 'closed', 0);
    dial(0);
    list.onConnected(connection, 0);
    list.onDisconnected(0, 1, 'closed', true, 50);
    expect(dial(50 + RECONNECT_MS)).toBe('encrypted');
  });

  it('waits when both ways fail, longer each time, and starts again in plaintext', () => {
    const { list, dial } = listOf();
    dial(0);
    list.onDialFailed(ADDRESS, 'closed', 0);
    dial(0);
    list.onDialFailed(ADDRESS, 'closed', 0);
    expect(dial(BUSY_MS - 1)).toBeUndefined();
    expect(dial(BUSY_MS)).toBe('plaintext');
    list.onDialFailed(ADDRESS, 'closed', BUSY_MS);
    expect(dial(BUSY_MS)).toBe('encrypted');
    list.onDialFailed(ADDRESS, 'protocol', BUSY_MS);
    expect(dial(BUSY_MS + 2 * RECONNECT_MS - 1)).toBeUndefined();
    expect(dial(BUSY_MS + 2 * RECONNECT_MS)).toBe('plaintext');
  });

  it('tries who connects and says nothing encrypted next time, and in plaintext right after', () => {
    const { list, dial } = listOf();
    for (let now = 0, round = 0; round < 3; now += 100_000, round++) {
      expect(dial(now)).toBe(round === 0 ? 'plaintext' : 'encrypted');
      list.onDialFailed(ADDRESS, 'silent', now);
      expect(dial(now)).toBe(round === 0 ? undefined : 'plaintext');
      list.onDialFailed(ADDRESS, 'silent', now);
      expect(dial(now)).toBeUndefined();
    }
  });

  const others: DisconnectReason[] = ['refused', 'timeout', 'protocol', 'infohash'];
  it.each(others)('does not take "%s" for a wish for encryption', (reason) => {
    const { list, dial } = listOf();
    dial(0);
    list.onDialFailed(ADDRESS, reason, 0);
    expect(dial(0)).toBeUndefined();
    expect(dial(RECONNECT_MS)).toBe('plaintext');
  });

  it('does not redial a peer that closes an established connection', () => {
    const { list, dial } = listOf();
    dial(0);
    list.onConnected(connection, 0);
    list.onDisconnected(0, 1, 'closed', true, 0);
    expect(dial(0)).toBeUndefined();
    expect(dial(RECONNECT_MS)).toBe('plaintext');
  });
});

describe('a peer list with no choice', () => {
  it.each([
    ['require', 'encrypted'],
    ['off', 'plaintext'],
  ] as const)('under "%s" always dials %s, and does not hurry', (mode, way) => {
    const { list, dial } = listOf(mode);
    expect(dial(0)).toBe(way);
    list.onDialFailed(ADDRESS, 'closed', 0);
    expect(dial(BUSY_MS - 1)).toBeUndefined();
    expect(dial(BUSY_MS)).toBe(way);
    list.onDialFailed(ADDRESS, 'closed', BUSY_MS);
    expect(dial(3 * BUSY_MS - 1)).toBeUndefined();
    expect(dial(3 * BUSY_MS)).toBe(way);
  });

  it('waits longer for who cannot be reached than for who hangs up', () => {
    const { list, dial } = listOf('off');
    dial(0);
    list.onDialFailed(ADDRESS, 'refused', 0);
    expect(dial(RECONNECT_MS - 1)).toBeUndefined();
    expect(dial(RECONNECT_MS)).toBe('plaintext');
  });
});
