/** A scripted UDP server on loopback for tests of tracker clients: every packet is what the test says, however wrong. */
import dgram from 'node:dgram';

export interface ScriptedUdp {
  readonly port: number;
  /** Packets received, in order of arrival. */
  readonly packets: Buffer[];
  /** The port each packet came from. */
  readonly senders: number[];
  close(): Promise<void>;
}

export type UdpScript = (packet: Buffer, reply: (bytes: Uint8Array) => void, from: dgram.RemoteInfo) => void;

export async function scriptedUdp(script: UdpScript, host = '127.0.0.1', port = 0): Promise<ScriptedUdp> {
  const packets: Buffer[] = [];
  const senders: number[] = [];
  const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (packet, from) => {
    packets.push(packet);
    senders.push(from.port);
    script(packet, (bytes) => socket.send(bytes, from.port, from.address), from);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.bind(port, host, resolve);
  });
  return {
    port: socket.address().port,
    packets,
    senders,
    close: () => new Promise((resolve) => socket.close(resolve)),
  };
}

/** The action a packet to a tracker asks for: 0 is connect, 1 announce, 2 scrape. */
export const actionOf = (packet: Buffer): number => packet.readUInt32BE(8);

/** A connect answer to a packet. */
export function connected(packet: Buffer, connectionId: bigint): Buffer {
  const bytes = Buffer.alloc(16);
  packet.copy(bytes, 4, 12, 16);
  bytes.writeBigUInt64BE(connectionId, 8);
  return bytes;
}

/** An announce answer to a packet: interval 60 s, 2 leechers, 3 seeds, and the compact peers. */
export function announced(packet: Buffer, peers: Uint8Array = Uint8Array.of(1, 2, 3, 4, 0, 80)): Buffer {
  const bytes = Buffer.alloc(20 + peers.length);
  bytes.writeUInt32BE(1, 0);
  packet.copy(bytes, 4, 12, 16);
  bytes.writeUInt32BE(60, 8);
  bytes.writeUInt32BE(2, 12);
  bytes.writeUInt32BE(3, 16);
  bytes.set(peers, 20);
  return bytes;
}

/** A scrape answer to a packet: seeders, completed and leechers of each swarm. */
export function scraped(packet: Buffer, counts: readonly (readonly [number, number, number])[]): Buffer {
  const bytes = Buffer.alloc(8 + counts.length * 12);
  bytes.writeUInt32BE(2, 0);
  packet.copy(bytes, 4, 12, 16);
  for (const [i, count] of counts.flat().entries()) bytes.writeUInt32BE(count, 8 + i * 4);
  return bytes;
}

/** An error answer to a packet. */
export function refused(packet: Buffer, message: string): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), Buffer.from(message)]);
  bytes.writeUInt32BE(3, 0);
  packet.copy(bytes, 4, 12, 16);
  return bytes;
}
