import { setMaxListeners } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Lookup } from '../../../src/discovery/lookup.js';
import { hostsIn, Names, type NamesDeps } from '../../../src/discovery/names.js';
import { dnsServer } from '../../helpers/dns-server.js';
import { settle, VirtualClock } from '../../helpers/tracker-clock.js';

const never = new AbortController().signal;
setMaxListeners(0, never);

/** The good name is known, silent ones are not answered, and there are no others. */
const answer = (name: string): string | undefined => {
  if (name.startsWith('silent')) return 'silence';
  if (name.startsWith('failed')) return 'failure';
  return name === 'good.example' ? '192.0.2.1' : undefined;
};

const unasked: Lookup = async (name) => {
  throw new Error(`the system was asked for ${name}`);
};

async function open(deps: NamesDeps = {}) {
  const { servers, asked } = await dnsServer(answer);
  const clock = new VirtualClock();
  const names = new Names({ clock, servers, system: unasked, readHosts: async () => '', ...deps });
  onTestFinished(() => names.close());
  return { names, asked, clock };
}

describe('names of trackers', () => {
  it('are asked of DNS, whatever it is silent about, and not of the system', async () => {
    const { names, asked } = await open();
    const silent = Array.from({ length: 16 }, (_, i) => names.lookup(`silent${i}.example`));
    const ended = Promise.allSettled(silent);
    expect(await names.lookup('Good.example')).toEqual(['192.0.2.1']);
    names.close();
    expect((await ended).map(({ status }) => status)).toEqual(silent.map(() => 'rejected'));
    expect(asked).toContain('good.example');
  });

  it('are found in the hosts file before DNS', async () => {
    const { names, asked } = await open({ readHosts: async () => '10.0.0.1 good.example' });
    expect(await names.lookup('good.example')).toEqual(['10.0.0.1']);
    expect(await names.lookup('localhost')).toEqual(['127.0.0.1', '::1']);
    expect(asked).toEqual([]);
  });

  it('that are none of DNS are asked of the system, too, where DNS fails', async () => {
    const { names } = await open({ system: async (name) => (name.includes('example') ? unasked(name) : ['10.0.0.7']) });
    expect(await names.lookup('failed')).toEqual(['10.0.0.7']);
    expect(await names.lookup('failed.local')).toEqual(['10.0.0.7']);
    await expect(names.lookup('failed.example')).rejects.toMatchObject({ code: 'ESERVFAIL' });
  });

  it('that DNS does not know are asked of the system, one at a time, and none once they are closed', async () => {
    const begun: string[] = [];
    const answers: ((addresses: string[]) => void)[] = [];
    const system: Lookup = (name) => {
      begun.push(name);
      return new Promise((resolve) => answers.push(resolve));
    };
    const { names } = await open({ system });
    const first = names.lookup('nas.local');
    await expect.poll(() => begun).toEqual(['nas.local']);
    const second = names.lookup('printer.local');
    const third = names.lookup('third.local');
    // Not in its way: it needs no more than DNS.
    expect(await names.lookup('good.example')).toEqual(['192.0.2.1']);
    answers[0]!(['10.0.0.1']);
    expect(await first).toEqual(['10.0.0.1']);
    await expect.poll(() => begun.length).toBe(2);
    const ended = Promise.allSettled([second, third]);
    names.close();
    expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(begun.length).toBe(2);
    await expect(names.lookup('late.local')).rejects.toThrow('not looked up any more');
  });

  it('are asked of the system where there is no DNS server', async () => {
    const { names } = await open({ servers: ['127.0.0.1:1'], system: async () => ['10.0.0.1'] });
    expect(await names.lookup('good.example')).toEqual(['10.0.0.1']);
  });

  it('that nobody answers for are given up after five seconds', async () => {
    const { names, asked, clock } = await open();
    const failed = expect(names.lookup('silent.example')).rejects.toThrow(
      'no name server has found silent.example within 5000 ms',
    );
    await expect.poll(() => asked.length).toBe(1);
    await clock.advance(5_000);
    await failed;
    expect(clock.sleeping).toBe(0);
  });

  it('are remembered for half a minute, found or not, and shared by those who ask at once', async () => {
    const denied: string[] = [];
    const system: Lookup = async (name) => {
      denied.push(name);
      throw new Error(`getaddrinfo ENOTFOUND ${name}`);
    };
    const { names, asked, clock } = await open({ system });
    const ask = (): Promise<unknown> => Promise.allSettled(['good.example', 'no.example'].map(names.lookup));
    await Promise.all([ask(), ask()]);
    await clock.advance(29_999);
    await ask();
    expect([asked.toSorted(), denied]).toEqual([['good.example', 'no.example'], ['no.example']]);
    await clock.advance(1);
    await ask();
    expect(asked.length).toBe(4);
  });
});

describe('names of peers', () => {
  it('that are not found within two seconds are left out, and the system is not asked', async () => {
    const { names, asked, clock } = await open();
    const hosts = ['good.example', 'no.example', ...Array.from({ length: 14 }, (_, i) => `silent${i}.example`)];
    const found = names.peers(
      hosts.map((host) => ({ host, port: 80 })),
      never,
    );
    await expect.poll(() => asked.length).toBe(16);
    await settle();
    await clock.advance(2_000);
    expect(await found).toEqual([{ host: '192.0.2.1', port: 80 }]);
  });

  it('that wait for their turn are not asked for once their signal is aborted', async () => {
    const { names, asked } = await open();
    const abort = new AbortController();
    const many = Array.from({ length: 100 }, (_, i) => ({ host: `silent${i}.example`, port: 80 }));
    const found = names.peers(many, abort.signal);
    await expect.poll(() => asked.length).toBe(32);
    abort.abort(new Error('over'));
    expect(await found).toEqual([]);
    expect(await names.lookup('good.example')).toEqual(['192.0.2.1']);
    expect(asked.length).toBe(33);
  });
});

it('a hosts file has several names and lines for one, and comments', () => {
  const hosts = hostsIn(
    '127.0.0.1\tlocalhost # ours\n# 1.2.3.4 no.example\r\n10.0.0.1 NAS nas.lan\n2001:DB8::1 nas\nnonsense x',
  );
  expect(Object.fromEntries(hosts)).toEqual({
    localhost: ['127.0.0.1'],
    nas: ['10.0.0.1', '2001:db8::1'],
    'nas.lan': ['10.0.0.1'],
  });
});
