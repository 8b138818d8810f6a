import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addPortMapping, faultOf, locationOf, mappingServices, searchRequests } from '../../../src/protocol/upnp.js';

const ANSWER = 'HTTP/1.1 200 OK\r\nST: x\r\nLocation: http://192.168.1.1:5000/root.xml\r\n\r\n';
const service = (type: string, path: string): string =>
  `<service><serviceType>urn:schemas-upnp-org:service:${type}</serviceType><controlURL>${path}</controlURL></service>`;
const at = new URL('http://192.168.1.1:5000/root.xml');

it('a search asks for gateways of both versions', () => {
  expect(searchRequests(2)[0]).toBe(
    'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 2\r\n' +
      'ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n',
  );
  expect(searchRequests(2)[1]).toContain('InternetGatewayDevice:2\r\n');
});

describe('an answer to a search', () => {
  it('names the description at its own host', () => {
    expect(locationOf(ANSWER, '192.168.1.1')?.href).toBe('http://192.168.1.1:5000/root.xml');
  });

  it.each([
    ['another host', ANSWER.replace('1.1:5000', '1.2:5000')],
    ['another scheme', ANSWER.replace('http:', 'https:')],
    ['a name', ANSWER.replace('192.168.1.1', 'router')],
    ['a user', ANSWER.replace('192', 'me@192')],
    ['a failure', ANSWER.replace('200', '404')],
    ['no location', 'HTTP/1.1 200 OK\r\n\r\n'],
  ])('with %s is not taken', (_, text) => {
    expect(locationOf(text, '192.168.1.1')).toBeUndefined();
  });
});

describe('a description', () => {
  it('gives the services that map ports, the best first', () => {
    const xml =
      service('WANPPPConnection:1', '/ppp') + service('Layer3Forwarding:1', '/l3') + service('WANIPConnection:1', 'ip');
    expect(mappingServices(`<root>${xml}</root>`, at).map(({ control }) => control.href)).toEqual([
      'http://192.168.1.1:5000/ip',
      'http://192.168.1.1:5000/ppp',
    ]);
  });

  it('sends nobody to another host', () => {
    expect(mappingServices(service('WANIPConnection:1', 'http://10.0.0.1/x'), at)).toEqual([]);
    const based = `<URLBase>http://10.0.0.1/</URLBase>${service('WANIPConnection:1', '/x')}`;
    expect(mappingServices(based, at).map(({ control }) => control.host)).toEqual(['192.168.1.1:5000']);
  });

  it('may be any text', () => {
    const piece = fc.constantFrom(
      '<service>',
      '</service>',
      '<controlURL>',
      '</controlURL>',
      '<',
      'a:',
      '&amp;',
      'http://x',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string())), (parts) => {
        expect(mappingServices(parts.join(''), at)).toEqual([]);
      }),
    );
  });
});

it('a call has its arguments in the order of the standard', () => {
  const type = 'urn:schemas-upnp-org:service:WANIPConnection:1';
  const { soapAction, body } = addPortMapping(type, { internalPort: 5, externalPort: 6 }, '192.168.1.2', 3600);
  expect(soapAction).toBe(`"${type}#AddPortMapping"`);
  expect(body).toContain(
    '<NewRemoteHost></NewRemoteHost><NewExternalPort>6</NewExternalPort><NewProtocol>TCP</NewProtocol>' +
      '<NewInternalPort>5</NewInternalPort><NewInternalClient>192.168.1.2</NewInternalClient>',
  );
});

it('a fault has a code', () => {
  expect(faultOf('<s:Fault><errorCode xmlns="x"> 718 </errorCode></s:Fault>')).toBe(718);
  expect(faultOf('<errorCode>no</errorCode>')).toBeUndefined();
  expect(faultOf('')).toBeUndefined();
});
