/** The process of the hostile peers: one kind at a time, that comes back as soon as it is sent away. Nothing else runs in it. */
import { connect, type Socket } from 'node:net';
import * as scripts from '../../test/helpers/hostile-peers.js';
import { RawPeer, ScriptedPeer } from '../../test/helpers/scripted-peer.js';
import type { SmallTorrent } from '../../test/helpers/small-torrent.js';

export type Kind = Exclude<
  {
    [Name in keyof typeof scripts]: (typeof scripts)[Name] extends scripts.HostileScript ? Name : never;
  }[keyof typeof scripts],
  undefined
>;

/** How a kind comes: `dialled` by the client, or `dials` its door again and again, or is a `crowd` of connections there. */
export type Attack =
  | { readonly comes: 'dialled' | 'dials'; readonly kind: Kind }
  | { readonly comes: 'crowd'; readonly count: number };

export type ToHostile =
  | { readonly type: 'torrent'; readonly torrent: SmallTorrent }
  | { readonly type: 'listen'; readonly kind: Kind }
  | { readonly type: 'attack'; readonly attack: Attack; readonly port: number }
  | { readonly type: 'stop' };
export type FromHostile = { readonly type: 'ready' } | { readonly type: 'listening'; readonly port: number };

/** Where a deed is a flood: goes on as long as it is let. */
const TIMES = 100_000;
/** Between two dials at the door of one who was sent away: a thousand connections a second would measure the kernel. */
const REDIAL_MS = 10;

const SCRIPTS = new Map<string, scripts.HostileScript>(Object.entries(scripts) as [Kind, scripts.HostileScript][]);

const run = (kind: Kind, peer: RawPeer): Promise<void> => SCRIPTS.get(kind)!(peer, torrent, TIMES);

const tell = (message: FromHostile): void => void process.send?.(message);

let torrent: SmallTorrent;
let stop: (() => Promise<void>) | undefined;

async function listen(kind: Kind): Promise<void> {
  const peer = await ScriptedPeer.listen((connection) => run(kind, connection));
  stop = () => peer.close();
  tell({ type: 'listening', port: peer.port });
}

function attack(how: Attack, port: number): void {
  const sockets = new Set<Socket>();
  let isOver = false;
  stop = async () => {
    isOver = true;
    for (const socket of sockets) socket.destroy();
  };
  if (how.comes === 'crowd') {
    for (let n = 0; n < how.count; n++) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      sockets.add(socket);
    }
    return;
  }
  const { kind } = how;
  const again = async (): Promise<void> => {
    while (!isOver) {
      const peer = await RawPeer.dial(port);
      sockets.add(peer.socket);
      await run(kind, peer).catch(() => {});
      await peer.closed;
      sockets.delete(peer.socket);
      await new Promise((resolve) => setTimeout(resolve, REDIAL_MS));
    }
  };
  // When the door is closed the attack is over.
  again().catch(() => {});
}

process.on('message', async (message: ToHostile) => {
  switch (message.type) {
    case 'torrent': {
      const { payload, hashes, bytes, infohash } = message.torrent;
      torrent = {
        ...message.torrent,
        payload: Buffer.from(payload),
        hashes: Buffer.from(hashes),
        bytes: Buffer.from(bytes),
        infohash: Buffer.from(infohash),
      };
      return tell({ type: 'ready' });
    }
    case 'listen':
      return listen(message.kind);
    case 'attack':
      return attack(message.attack, message.port);
    case 'stop':
      await stop?.();
      stop = undefined;
      return tell({ type: 'ready' });
  }
});
process.on('disconnect', () => process.exit());
