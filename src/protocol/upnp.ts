/**
 * The texts of UPnP port mapping (UDA 1.0, WANIPConnection:1 and 2, WANPPPConnection:1): the SSDP search and its answers, the
 * services in a device description, the SOAP calls and their faults. No XML parser: a handful of elements is looked for in
 * texts that the caller has capped, each scan is linear, and whatever is not there is not understood. Pure.
 */

/** The multicast group and port of SSDP. */
export const SSDP = { host: '239.255.255.250', port: 1900 } as const;

/** UDA 1.0: a device of version 2 answers a search for version 1; some do not. */
const TARGETS = ['1', '2'].map((version) => `urn:schemas-upnp-org:device:InternetGatewayDevice:${version}`);
/** The services that map ports, the best first. */
const SERVICES = ['WANIPConnection:2', 'WANIPConnection:1', 'WANPPPConnection:1'].map(
  (service) => `urn:schemas-upnp-org:service:${service}`,
);
/** Services that one description is read for. */
const MAX_SERVICES = 4;
/** Elements that one description is scanned for: a router has about twenty services. */
const MAX_SCANNED = 100;

export interface MappingService {
  /** One of the URNs that are known here. */
  readonly type: string;
  readonly control: URL;
}

/** The only lease that some routers take: until it is deleted. */
export const PERMANENT = 0;

/** `errorCode` of a fault. */
export const FAULT = { conflict: 718, onlyPermanent: 725 } as const;

/**
 * The datagrams that ask gateways to show themselves.
 * @param maxWaitSeconds within which they shall answer
 */
export function searchRequests(maxWaitSeconds: number): string[] {
  return TARGETS.map((target) =>
    lines([
      'M-SEARCH * HTTP/1.1',
      `HOST: ${SSDP.host}:${SSDP.port}`,
      'MAN: "ssdp:discover"',
      `MX: ${maxWaitSeconds}`,
      `ST: ${target}`,
    ]),
  );
}

/**
 * Where the description of a gateway is.
 * @param text an answer to a search
 * @param host that it came from: it may name no other
 * @returns `undefined` for anything else
 */
export function locationOf(text: string, host: string): URL | undefined {
  if (!/^HTTP\/1\.[01] 200\b/i.test(text)) return undefined;
  const location = /^location:[ \t]*(\S{1,512})[ \t]*\r?$/im.exec(text)?.[1];
  return location === undefined ? undefined : urlAt(location, undefined, host);
}

/**
 * The services of a gateway that map ports, the best first.
 * @param xml the description
 * @param location that it was read from: control URLs are relative to it and may name no other host
 */
export function mappingServices(xml: string, location: URL): MappingService[] {
  const base = element(xml, 'URLBase') ?? location.href;
  const found: MappingService[] = [];
  for (const service of elements(xml, 'service')) {
    const type = element(service, 'serviceType');
    const path = element(service, 'controlURL');
    if (type === undefined || path === undefined || !SERVICES.includes(type)) continue;
    const control = urlAt(path, base, location.hostname) ?? urlAt(path, location.href, location.hostname);
    if (control !== undefined) found.push({ type, control });
  }
  return found.sort((a, b) => SERVICES.indexOf(a.type) - SERVICES.indexOf(b.type)).slice(0, MAX_SERVICES);
}

export interface SoapCall {
  /** Value of the header of that name. */
  readonly soapAction: string;
  readonly body: string;
}

/**
 * @param type of the service that is called
 * @param client canonical IPv4 address of this machine
 */
export function addPortMapping(
  type: string,
  ports: { readonly internalPort: number; readonly externalPort: number },
  client: string,
  leaseSeconds: number,
): SoapCall {
  return soapCall(type, 'AddPortMapping', [
    ['NewRemoteHost', ''],
    ['NewExternalPort', ports.externalPort],
    ['NewProtocol', 'TCP'],
    ['NewInternalPort', ports.internalPort],
    ['NewInternalClient', client],
    ['NewEnabled', 1],
    ['NewPortMappingDescription', 'spate'],
    ['NewLeaseDuration', leaseSeconds],
  ]);
}

/** @param type of the service that is called */
export function deletePortMapping(type: string, externalPort: number): SoapCall {
  return soapCall(type, 'DeletePortMapping', [
    ['NewRemoteHost', ''],
    ['NewExternalPort', externalPort],
    ['NewProtocol', 'TCP'],
  ]);
}

/** The UPnP error in the body of a failed call; `undefined` when there is none. */
export function faultOf(xml: string): number | undefined {
  const code = element(xml, 'errorCode');
  return code !== undefined && /^\d{1,5}$/.test(code) ? Number(code) : undefined;
}

/** @param args in the order of the service's description: some routers insist on it; texts that need no escape */
function soapCall(type: string, action: string, args: readonly (readonly [string, string | number])[]): SoapCall {
  const inner = args.map(([name, value]) => `<${name}>${value}</${name}>`).join('');
  const body =
    '<?xml version="1.0"?>\r\n' +
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ' +
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>' +
    `<u:${action} xmlns:u="${type}">${inner}</u:${action}></s:Body></s:Envelope>\r\n`;
  return { soapAction: `"${type}#${action}"`, body };
}

const lines = (all: readonly string[]): string => `${all.join('\r\n')}\r\n\r\n`;

/** An http URL at this very host: what a gateway says must not make us talk to others. */
function urlAt(text: string, base: string | undefined, host: string): URL | undefined {
  if (!URL.canParse(text, base)) return undefined;
  const url = new URL(text, base);
  return url.protocol === 'http:' && url.hostname === host && url.username === '' ? url : undefined;
}

/** The trimmed text of the first element of a name, without its children's markup being looked at. */
function element(xml: string, name: string): string | undefined {
  const [first] = elements(xml, name);
  return first?.replaceAll('&amp;', '&').trim();
}

/** What is inside the elements of a name, in order; they do not nest. A prefix and attributes are allowed. */
function* elements(xml: string, name: string): Generator<string> {
  const tags = new RegExp(`<(/?)(?:[\\w.-]{1,32}:)?${name}(?:\\s[^<>]{0,256})?>`, 'g');
  let from: number | undefined;
  let seen = 0;
  for (const { 0: tag, 1: slash, index } of xml.matchAll(tags)) {
    if (slash === '') from = index + tag.length;
    else if (from !== undefined) {
      yield xml.slice(from, index);
      from = undefined;
      if (++seen === MAX_SCANNED) return;
    }
  }
}
