/** Where the default gateway is, and which addresses a gateway may have. Linux tells in /proc; elsewhere nothing is known. */
import { readFile } from 'node:fs/promises';
import { endianness, networkInterfaces } from 'node:os';
import { ipText } from '../../protocol/address.js';

const ROUTES = '/proc/net/route';
const UP_AND_GATEWAY = 0x3;

/**
 * The IPv4 default gateway with the lowest metric.
 * @param bind canonical address of this machine that packets leave from; any when absent
 * @returns `undefined` when there is none, or no way to tell
 */
export async function defaultGateway(bind: string | undefined): Promise<string | undefined> {
  // Not Linux, or not to be read here: the same as having none.
  const routes = await readFile(ROUTES, 'latin1').catch(() => '');
  const names = Object.entries(networkInterfaces())
    .filter(([, addresses]) => bind === undefined || addresses?.some(({ address }) => address === bind))
    .map(([name]) => name);
  return gatewayIn(routes, names, endianness() === 'LE');
}

/**
 * @param routes as /proc/net/route has them
 * @param interfaces the only ones to look at
 * @param littleEndian of the machine: the kernel prints addresses as numbers of its own
 */
export function gatewayIn(routes: string, interfaces: readonly string[], littleEndian: boolean): string | undefined {
  let best: { readonly host: string; readonly metric: number } | undefined;
  for (const line of routes.split('\n').slice(1)) {
    const [name, destination, gateway, flags, , , metric, mask] = line.trim().split(/\s+/);
    if (mask === undefined || !interfaces.includes(name!) || destination !== '00000000' || mask !== '00000000')
      continue;
    if ((Number.parseInt(flags!, 16) & UP_AND_GATEWAY) !== UP_AND_GATEWAY || !/^[\da-f]{8}$/i.test(gateway!)) continue;
    const bytes = Uint8Array.from(Buffer.from(gateway!, 'hex'));
    const host = ipText(littleEndian ? bytes.reverse() : bytes);
    if (best === undefined || Number(metric) < best.metric) best = { host, metric: Number(metric) };
  }
  return best?.host;
}

/** Whether an IPv4 address is one that a home gateway has: private (RFC 1918), shared (RFC 6598) or link-local. */
export function isPrivate(host: string): boolean {
  return /^(?:10\.|192\.168\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(
    host,
  );
}
