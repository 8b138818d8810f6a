import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bitfield, blockOf, CHOKE, Conversation, FakeTorrent, UNCHOKE } from '../../helpers/conversation.js';

const BLOCK = 16_384;
const PEERS = 3;
const OPTIONS = { requestsAtStart: 4, requestsMin: 2, requestTimeoutMs: 20_000 };

/** An honest peer that has everything: it keeps what it is asked for and answers some of it when told to. */
class HonestPeer {
  readonly conversation: Conversation;
  /** Requests not answered, oldest first. */
  asked: { piece: number; begin: number }[] = [];
  sent = 0;
  #choking = true;
  #open = true;
  /** The rest of a block that was cut. */
  #rest = '';

  constructor(torrent: FakeTorrent, peer: number) {
    this.conversation = new Conversation(torrent, OPTIONS, peer);
    this.#say(bitfield('f8'));
  }

  #say(message: string): void {
    if (this.#open) this.conversation.hear(message);
    this.listen();
  }

  /** Reads what the client has said. */
  listen(): void {
    const said = this.conversation.said();
    for (let at = 0; at < said.length; ) {
      const end = at + 8 + 2 * Number.parseInt(said.slice(at, at + 8), 16);
      const u32 = (offset: number): number => Number.parseInt(said.slice(at + offset, at + offset + 8), 16);
      if (said.slice(at + 8, at + 10) === '06') {
        expect(this.#choking).toBe(false);
        this.asked.push({ piece: u32(10), begin: u32(18) });
      }
      at = end;
    }
  }

  unchoke(): void {
    this.finish();
    this.#choking = false;
    this.#say(UNCHOKE);
  }

  choke(): void {
    this.finish();
    this.#choking = true;
    this.asked = [];
    this.#say(CHOKE);
  }

  reject(): void {
    this.finish();
    const request = this.asked.shift();
    if (request !== undefined) this.#say(blockOf(request.piece, request.begin, new Uint8Array(0)));
  }

  /** Answers one request, the oldest or another one; `part` of 1 is all of it. */
  answer(pick: number, part: number): void {
    this.finish();
    const [request] = this.asked.splice(pick % Math.max(1, this.asked.length), 1);
    if (request === undefined) return;
    const { torrent } = this.conversation;
    const payload = torrent.payload(request.piece, request.begin / BLOCK);
    const message = blockOf(request.piece, request.begin, payload);
    const cut = 2 * Math.floor((part * message.length) / 2);
    this.#rest = message.slice(cut);
    this.#say(message.slice(0, cut));
    if (cut === message.length) this.sent += payload.length;
    else this.#unsent = payload.length;
  }

  #unsent = 0;

  /** Sends what is left of a block that was cut. */
  finish(): void {
    const rest = this.#rest;
    if (rest === '') return;
    this.#rest = '';
    this.sent += this.#unsent;
    this.#say(rest);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#rest = '';
    this.asked = [];
    this.conversation.session.onClose(this.conversation.now);
  }
}

const peerNumber = fc.nat(PEERS - 1);
const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      peer: peerNumber,
      pick: fc.constantFrom(0, 0, 0, 1, 2),
      part: fc.constantFrom(1, 1, 1, 0.001, 0.5),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('unchoke' as const), peer: peerNumber }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('choke' as const, 'reject' as const), peer: peerNumber }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(100, 19_000, 20_000) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('lease' as const), piece: fc.nat(4), exclusive: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('recall' as const), piece: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), peer: peerNumber }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** A torrent among honest peers to whom anything may happen. */
class Swarm {
  readonly torrent = new FakeTorrent();
  readonly peers = Array.from({ length: PEERS }, (_, i) => new HonestPeer(this.torrent, i + 1));
  readonly #exclusive = new Set<number>();

  run(script: readonly Step[]): void {
    for (const action of script) {
      if (action.do === 'answer') this.peers[action.peer]!.answer(action.pick, action.part);
      else if (action.do === 'pass') this.pass(action.ms);
      else if (action.do === 'lease') this.lease(action.piece, action.exclusive);
      else if (action.do === 'recall') {
        const lease = this.torrent.leases.get(action.piece);
        if (lease !== undefined) this.torrent.leases.remove(lease);
      } else this.peers[action.peer]![action.do]();
      this.check();
    }
  }

  lease(piece: number, exclusive: boolean): void {
    if (this.torrent.leases.get(piece) !== undefined) return;
    const lease = this.torrent.lease(piece, { exclusive });
    if (exclusive) this.#exclusive.add(lease.lease);
    this.#fill();
  }

  pass(ms: number): void {
    for (const { conversation } of this.peers) {
      conversation.now += ms;
      conversation.session.downloads.onTick(conversation.now);
    }
    this.#fill();
  }

  /** As a group and main do: what nobody is admitted to any more goes home, and comes back for all. */
  leaseAnew(): void {
    const { leases } = this.torrent;
    for (const lease of [...leases]) {
      const { piece } = lease;
      const sessions = this.peers.map(({ conversation }) => conversation.session);
      if (sessions.some(({ askable, peer }) => askable !== undefined && lease.admits(peer))) continue;
      leases.remove(lease);
      this.torrent.lease(piece);
    }
  }

  #fill(): void {
    for (const snubbed of [false, true]) {
      for (const { conversation } of this.peers) {
        const { session, now } = conversation;
        if (session.downloads.pipeline.snubbed === snubbed) session.fill(now);
      }
    }
    for (const peer of this.peers) peer.listen();
  }

  /** What must be true at any time. */
  check(): void {
    const { torrent } = this;
    const missing = [...torrent.leases].reduce((sum, lease) => sum + lease.missing, 0);
    expect(torrent.leases.missingBlocks).toBe(missing);
    for (const lease of torrent.complete) {
      const { length } = lease.bytes;
      for (let at = 0; at < length; at += BLOCK) {
        const block = lease.bytes.subarray(at, Math.min(at + BLOCK, length));
        expect(Buffer.compare(block, torrent.payload(lease.piece, at / BLOCK))).toBe(0);
      }
      expect(lease.givers().includes(0)).toBe(false);
      if (this.#exclusive.has(lease.lease)) expect(new Set(lease.givers()).size).toBe(1);
    }
    torrent.complete.length = 0;
  }
}

describe('sessions that share a torrent', () => {
  it('put every byte in its place and lose no block, whatever their peers do', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (script) => {
        const swarm = new Swarm();
        swarm.run(script);
        for (const peer of swarm.peers) peer.finish();
        swarm.check();
        for (const peer of swarm.peers) peer.close();
        // Nobody is there to be waited for: every block that is not present is missing again.
        const { leases, waste } = swarm.torrent;
        for (const lease of leases) {
          const present = Array.from({ length: lease.blockCount }, (_, block) => block).filter((b) => !lease.lacks(b));
          expect(lease.missing).toBe(lease.blockCount - present.length);
        }
        const kept = swarm.peers.reduce((sum, { conversation }) => sum + conversation.session.downloads.downloaded, 0);
        const sent = swarm.peers.reduce((sum, peer) => sum + peer.sent, 0);
        expect(kept + waste).toBe(sent);
      }),
      { numRuns: 300 },
    );
  });

  it('fetch what is left as soon as one peer gives what it is asked for', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), peerNumber, (script, last) => {
        const swarm = new Swarm();
        swarm.run(script.filter(({ do: action }) => action !== 'close'));
        const { leases } = swarm.torrent;
        for (const peer of swarm.peers) peer.finish();
        const good = swarm.peers[last]!;
        good.unchoke();
        // The others stay, silent: what they owe is taken from them.
        for (let round = 0; round < 40 && leases.size > 0; round++) {
          swarm.leaseAnew();
          swarm.pass(5_000);
          while (good.asked.length > 0) good.answer(0, 1);
        }
        expect(leases.size).toBe(0);
        swarm.check();
      }),
      { numRuns: 200 },
    );
  });
});
