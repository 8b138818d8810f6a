import { expect, test } from 'vitest';
import { resolvePeers } from '../../../src/cli/peers.js';

test('every address of every name is a peer', async () => {
  const names: Record<string, string[]> = { 'a.example': ['192.0.2.1', '2001:db8::1'], '192.0.2.9': ['192.0.2.9'] };
  const failures: string[] = [];

  const peers = await resolvePeers(
    [
      { host: 'a.example', port: 1 },
      { host: '192.0.2.9', port: 2 },
    ],
    async (host) => names[host]!,
    (message) => failures.push(message),
  );

  expect(peers).toEqual([
    { host: '192.0.2.1', port: 1 },
    { host: '2001:db8::1', port: 1 },
    { host: '192.0.2.9', port: 2 },
  ]);
  expect(failures).toEqual([]);
});

test('a name without an address is told, and the others are kept', async () => {
  const failures: string[] = [];

  const peers = await resolvePeers(
    [
      { host: 'bad.example', port: 1 },
      { host: 'empty.example', port: 2 },
      { host: '192.0.2.9', port: 3 },
    ],
    async (host) => {
      if (host === 'bad.example') throw new Error('getaddrinfo ENOTFOUND bad.example');
      return host === 'empty.example' ? [] : [host];
    },
    (message) => failures.push(message),
  );

  expect(peers).toEqual([{ host: '192.0.2.9', port: 3 }]);
  expect(failures.toSorted()).toEqual([
    'peer bad.example:1: getaddrinfo ENOTFOUND bad.example',
    'peer empty.example:2: the name has no address',
  ]);
});
