// A DNS server on loopback, its packets made by hand (RFC 1035 §4): what it knows, what it denies, and what it is silent about.
import dgram from 'node:dgram';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';

const A = 1;
const SERVFAIL = 2;
const NXDOMAIN = 3;

/**
 * Gone when the test ends.
 * @param answer the IPv4 address of a name; `undefined` when there is no such name, `silence` for no answer, `failure` for one that
 * it cannot have
 */
export async function dnsServer(answer: (name: string) => string | 'silence' | 'failure' | undefined) {
  const socket = dgram.createSocket('udp4');
  /** Names of questions for an IPv4 address, in order of arrival. */
  const asked: string[] = [];
  socket.on('message', (query, from) => {
    const labels: string[] = [];
    let at = 12;
    for (; query[at] !== 0; at += 1 + query[at]!) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
    const isA = query.readUInt16BE(at + 1) === A;
    const name = labels.join('.').toLowerCase();
    if (isA) asked.push(name);
    const address = answer(name);
    if (address === 'silence') return;
    const question = query.subarray(12, at + 5);
    const isKnown = address !== undefined && address !== 'failure';
    const records = isA && isKnown ? [record(address)] : [];
    const header = Buffer.from([query[0]!, query[1]!, 0x81, 0x80, 0, 1, 0, records.length, 0, 0, 0, 0]);
    if (!isKnown) header[3] = 0x80 | (address === undefined ? NXDOMAIN : SERVFAIL);
    socket.send(Buffer.concat([header, question, ...records]), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  onTestFinished(() => {
    socket.close();
  });
  return { asked, servers: [`127.0.0.1:${socket.address().port}`] };
}

/** An A record of the name that was asked for, for a minute. */
const record = (address: string): Buffer =>
  Buffer.from([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]);
