// A gateway on loopback, made by hand: raw UDP packets that a test scripts.
import dgram from 'node:dgram';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';

const HOST = '127.0.0.1';

/** Answers by a script, and keeps what it was asked; gone when the test ends. */
export async function udpGateway(script: (asked: Buffer) => Uint8Array | string | undefined) {
  const socket = dgram.createSocket('udp4');
  const asked: Buffer[] = [];
  socket.on('message', (bytes, from) => {
    asked.push(bytes);
    const answer = script(bytes);
    if (answer !== undefined) socket.send(answer, from.port, from.address);
  });
  socket.bind(0, HOST);
  await once(socket, 'listening');
  onTestFinished(() => {
    socket.close();
  });
  return { asked, socket, at: { host: HOST, port: socket.address().port } };
}

/** Grants what a PCP request asks for (RFC 6887 §11), at this external port. */
export function pcpAnswer(asked: Buffer, port: number): Buffer {
  const answer = Buffer.alloc(60);
  asked.copy(answer);
  answer[1] = 0x81;
  answer.fill(0, 2, 24);
  answer.writeUInt32BE(asked.readUInt32BE(4), 4);
  answer.writeUInt16BE(port, 42);
  return answer;
}
