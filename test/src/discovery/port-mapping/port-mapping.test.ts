import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/discovery/clock.js';
import { gatewayIn, isPrivate } from '../../../../src/discovery/port-mapping/gateway.js';
import type { Mapping, PortMapper } from '../../../../src/discovery/port-mapping/mapper.js';
import { PcpMapper } from '../../../../src/discovery/port-mapping/pcp.js';
import { gatewayMapping, PortMapping } from '../../../../src/discovery/port-mapping/port-mapping.js';
import { type UpnpDeps, UpnpMapper } from '../../../../src/discovery/port-mapping/upnp.js';
import { DEFAULTS, type Options } from '../../../../src/options.js';
import { pcpAnswer, udpGateway } from '../../../helpers/nat-gateway.js';
import { settle, VirtualClock } from '../../../helpers/tracker-clock.js';

const HOST = '127.0.0.1';
const never = new AbortController().signal;
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Waits for what the network brings. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await settle();
}

describe('PCP', () => {
  const mapper = (gateway: { host: string; port: number } | undefined, clock = systemClock) =>
    new PcpMapper(DEFAULTS, { gateway: async () => gateway, clock, random: () => 0.5, bind: HOST });

  it('maps a port, names the address it comes from, and ends the mapping with the same nonce', async () => {
    const { asked, at } = await udpGateway((bytes) => pcpAnswer(bytes, 7777));
    const pcp = mapper(at);
    expect(await pcp.map(6881, 6881, never)).toEqual({ externalPort: 7777, lifetimeMs: 3_600_000 });
    await pcp.unmap(never);
    expect(asked[0]!.subarray(20, 24)).toEqual(Buffer.from([127, 0, 0, 1]));
    expect(asked.at(-1)!.readUInt32BE(4)).toBe(0);
    expect(asked.at(-1)!.subarray(24, 36)).toEqual(asked[0]!.subarray(24, 36));
    const before = asked.length;
    await pcp.unmap(never);
    expect(asked.length).toBe(before);
  });

  it('falls back to NAT-PMP when the gateway knows no other, and stays with it', async () => {
    const { asked, at } = await udpGateway((bytes) =>
      Buffer.from(bytes[0] === 2 ? '0081000100000009' : '00820000000000091ae11ae200000708', 'hex'),
    );
    const pcp = mapper(at);
    expect(await pcp.map(0x1ae1, 0x1ae1, never)).toEqual({ externalPort: 0x1ae2, lifetimeMs: 1_800_000 });
    const first = asked.length;
    await pcp.map(0x1ae1, 0x1ae2, never);
    expect(asked.slice(first).every((bytes) => bytes[0] === 0)).toBe(true);
  });

  it('asks three times in each protocol of a silent gateway, then says so', async () => {
    const clock = new VirtualClock();
    const { asked, at, socket } = await udpGateway(() => undefined);
    const mapping = mapper(at, clock).map(6881, 6881, never);
    const failed = expect(mapping).rejects.toThrow('speaks neither PCP nor NAT-PMP');
    for (let sent = 0; sent < 6; sent++) {
      while (asked.length <= sent) await once(socket, 'message');
      while (clock.sleeping === 0) await settle();
      await clock.advance(250 * 2 ** (sent % 3));
    }
    await failed;
    expect(asked.map((bytes) => bytes[0])).toEqual([2, 2, 2, 0, 0, 0]);
  });

  it('fails without a gateway, with a refusal, and when aborted', async () => {
    await expect(mapper(undefined).map(1, 1, never)).rejects.toThrow('no default gateway is known');
    const refusing = await udpGateway((bytes) => {
      const answer = pcpAnswer(bytes, 0);
      answer[3] = 8;
      return answer;
    });
    await expect(mapper(refusing.at).map(1, 1, never)).rejects.toThrow('refused (PCP result 8)');
    const silent = await udpGateway(() => undefined);
    const abort = new AbortController();
    const mapping = mapper(silent.at).map(1, 1, abort.signal);
    abort.abort(new Error('enough'));
    await expect(mapping).rejects.toThrow('enough');
  });
});

describe('UPnP', () => {
  const TYPE = 'urn:schemas-upnp-org:service:WANIPConnection:1';
  const fault = (code: number): [number, string] => [500, `<errorCode>${code}</errorCode>`];

  /**
   * @param answer to a SOAP call, by its body
   * @param description what is told of the services, or what tells it
   */
  async function upnp(
    answer: (call: string) => [number, string],
    description?: string | ((response: ServerResponse) => void),
  ) {
    const calls: string[] = [];
    const server = createServer(async (request: IncomingMessage, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      if (request.method === 'GET') {
        if (typeof description === 'function') return description(response);
        const xml = `<service><serviceType>${TYPE}</serviceType><controlURL>/c</controlURL></service>`;
        response.end(description ?? xml);
        return;
      }
      calls.push(body);
      const [status, text] = answer(body);
      response.writeHead(status).end(text);
    }).listen(0, HOST);
    await once(server, 'listening');
    closers.push(() => {
      server.close();
      server.closeAllConnections();
    });
    const url = `http://${HOST}:${(server.address() as AddressInfo).port}/d.xml`;
    const { at } = await udpGateway(() => `HTTP/1.1 200 OK\r\nLOCATION: ${url}\r\n\r\n`);
    const make = ({ options = {}, ...deps }: Partial<UpnpDeps> & { options?: Partial<Options> } = {}) =>
      new UpnpMapper(
        { ...DEFAULTS, ...options },
        { target: at, isGateway: (host) => host === HOST, clock: systemClock, random: () => 0, bind: HOST, ...deps },
      );
    return { calls, make };
  }

  it('finds the gateway, maps and takes back', async () => {
    const { calls, make } = await upnp(() => [200, '']);
    const mapper = make();
    expect(await mapper.map(6881, 6881, never)).toEqual({ externalPort: 6881, lifetimeMs: 3_600_000 });
    expect(calls[0]).toContain(`<NewInternalClient>${HOST}</NewInternalClient>`);
    await mapper.unmap(never);
    expect(calls[1]).toContain('DeletePortMapping');
    expect(calls[1]).toContain('<NewExternalPort>6881</NewExternalPort>');
  });

  it('takes a permanent lease or another port when the gateway wants that', async () => {
    const { calls, make } = await upnp((call) => {
      if (!call.includes('<NewLeaseDuration>0<')) return fault(725);
      return call.includes('<NewExternalPort>6881<') ? fault(718) : [200, ''];
    });
    expect(await make().map(6881, 6881, never)).toEqual({ externalPort: 49_152, lifetimeMs: Infinity });
    expect(calls.length).toBe(3);
  });

  it('gives up after four ports, and has nothing to take back', async () => {
    const { calls, make } = await upnp(() => fault(718));
    const clock = new VirtualClock();
    const mapper = make({ clock });
    const failed = expect(mapper.map(6881, 6881, never)).rejects.toThrow('UPnP error 718');
    await until(() => calls.length === 4 && clock.sleeping === 1);
    await clock.advance(DEFAULTS.natSearchMs);
    await failed;
    await mapper.unmap(never);
    expect(calls.length).toBe(4);
  });

  it('reads no description beyond the cap', async () => {
    const { make } = await upnp(() => [200, ''], 'x'.repeat(5000));
    const clock = new VirtualClock();
    const mapping = make({ clock, options: { natBodyBytes: 1024 } }).map(1, 1, never);
    const failed = expect(mapping).rejects.toThrow('more than 1024 bytes');
    // The search and the exchange, then the search alone.
    await until(() => clock.sleeping === 2);
    await until(() => clock.sleeping === 1);
    await clock.advance(DEFAULTS.natSearchMs);
    await failed;
  });

  it('follows no description that redirects', async () => {
    const asked: string[] = [];
    const { calls, make } = await upnp(
      () => [200, ''],
      (response) => {
        asked.push(response.req.url!);
        response.writeHead(302, { location: '/elsewhere.xml' }).end();
      },
    );
    const clock = new VirtualClock();
    const failed = expect(make({ clock }).map(1, 1, never)).rejects.toThrow(
      "the gateway's description: HTTP status 302",
    );
    await until(() => asked.length === 1 && clock.sleeping === 1);
    await clock.advance(DEFAULTS.natSearchMs);
    await failed;
    expect({ asked, calls }).toEqual({ asked: ['/d.xml'], calls: [] });
  });

  it('gives up a description that trickles', async () => {
    const [clock, sent] = [new VirtualClock(), [] as ServerResponse[]];
    const { make } = await upnp(
      () => [200, ''],
      (response) => sent.push(response),
    );
    const failed = expect(make({ clock }).map(1, 1, never)).rejects.toThrow(
      'the gateway gave no answer within 5000 ms',
    );
    await until(() => sent.length === 1);
    for (let second = 0; second < 5; second++) {
      sent[0]!.write(' ');
      await clock.advance(1_000);
    }
    await failed;
    await once(sent[0]!, 'close');
    expect(clock.sleeping).toBe(0);
  });

  it('does not hear what has no address of a gateway', async () => {
    const { calls, make } = await upnp(() => [200, '']);
    const [clock, strangers] = [new VirtualClock(), [] as string[]];
    const isGateway = (host: string): boolean => strangers.push(host) === 0;
    const failed = expect(make({ clock, isGateway }).map(1, 1, never)).rejects.toThrow('no gateway answered');
    await until(() => strangers.length > 0);
    await clock.advance(DEFAULTS.natSearchMs);
    await failed;
    expect({ calls, stranger: strangers[0] }).toEqual({ calls: [], stranger: HOST });
  });
});

describe('a port mapping', () => {
  class FakeMapper implements PortMapper {
    readonly name = 'fake';
    readonly asked: number[] = [];
    unmapped = 0;
    granted: Mapping | undefined = { externalPort: 7000, lifetimeMs: 600_000 };

    async map(_internalPort: number, externalPort: number): Promise<Mapping> {
      this.asked.push(externalPort);
      if (this.granted === undefined) throw new Error('no');
      return this.granted;
    }

    async unmap(signal: AbortSignal): Promise<void> {
      this.unmapped++;
      await once(signal, 'abort');
    }
  }

  function open() {
    const [clock, mapper, lines] = [new VirtualClock(), new FakeMapper(), [] as string[]];
    const deps = { mappers: [mapper], clock, onDetail: (line: string) => lines.push(line) };
    return { clock, mapper, lines, mapping: new PortMapping(DEFAULTS, deps) };
  }

  it('is renewed at half of its life, under the port it was given, and told once', async () => {
    const { clock, mapper, lines, mapping } = open();
    mapping.start(6881);
    await clock.advance(299_999);
    expect(mapper.asked).toEqual([6881]);
    await clock.advance(1);
    expect(mapper.asked).toEqual([6881, 7000]);
    expect(mapping.externalPort).toBe(7000);
    expect(lines).toEqual(['port 6881 is reached at port 7000 of the gateway (fake)']);
  });

  it('is asked for again when refused, and forgotten when it has run out', async () => {
    const { clock, mapper, lines, mapping } = open();
    mapping.start(6881);
    await settle();
    mapper.granted = undefined;
    await clock.advance(300_000);
    expect(mapping.externalPort).toBe(7000);
    await clock.advance(600_000);
    expect(mapping.externalPort).toBeUndefined();
    expect(lines.at(-1)).toBe('port 6881 is not mapped: fake: no');
  });

  it('is taken back at the end, for no longer than a second', async () => {
    const { clock, mapper, mapping } = open();
    mapping.start(6881);
    await settle();
    const closed = mapping.close();
    await clock.advance(1000);
    await closed;
    expect(mapper.unmapped).toBe(1);
    expect(clock.sleeping).toBe(0);
  });

  it.each(['127.0.0.1', '127.9.9.9', '::1', '2001:db8::1'])('is never made for %s', (bind) => {
    const settings = { options: DEFAULTS, random: () => 0, onDetail: () => {} };
    expect(gatewayMapping({ ...settings, bind })).toBeUndefined();
    expect(gatewayMapping({ ...settings, bind: '192.168.1.2' })).toBeDefined();
  });
});

describe('the default gateway', () => {
  const routes = [
    'Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT',
    'eth0 00000000 0101A8C0 0003 0 0 200 00000000 0 0 0',
    'wlan0 00000000 0102A8C0 0003 0 0 100 00000000 0 0 0',
    'eth0 0001A8C0 00000000 0001 0 0 50 00FFFFFF 0 0 0',
  ].join('\n');

  it('is the one with the lowest metric on the interfaces that count', () => {
    expect(gatewayIn(routes, ['eth0', 'wlan0'], true)).toBe('192.168.2.1');
    expect(gatewayIn(routes, ['eth0'], true)).toBe('192.168.1.1');
    expect(gatewayIn(routes, ['eth0'], false)).toBe('1.1.168.192');
    expect(gatewayIn(routes, ['lo'], true)).toBeUndefined();
    expect(gatewayIn('', ['eth0'], true)).toBeUndefined();
  });

  it('has a private address', () => {
    expect(['10.0.0.1', '172.31.0.1', '192.168.0.1', '100.64.0.1', '169.254.1.1'].every(isPrivate)).toBe(true);
    expect(['8.8.8.8', '172.32.0.1', '100.128.0.1', '127.0.0.1', '192.169.0.1'].some(isPrivate)).toBe(false);
  });
});
