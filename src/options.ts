/**
 * Every tunable of the engine in one table: default, range, unit and where the number comes from. A session takes overrides,
 * `resolveOptions` checks them against the ranges, and the resolved record travels to the workers as it is.
 */

interface Tunable {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly unit: 'bytes' | 'ms' | 'count' | 'bytes/s';
  /** Why this number. */
  readonly why: string;
}

const MIB = 1_048_576;

const TUNABLES = {
  // Memory and work ahead
  memoryBytes: {
    default: 256 * MIB,
    min: MIB,
    max: 2 ** 40,
    unit: 'bytes',
    why: 'cap of buffered payload, all torrents together',
  },
  budgetAheadMs: {
    default: 1_000,
    min: 1,
    max: 60_000,
    unit: 'ms',
    why: 'of its rate a torrent may have in buffers while more than half of the memory is in use; a peer owes 300 ms then',
  },
  leaseAheadMs: {
    default: 20,
    min: 1,
    max: 10_000,
    unit: 'ms',
    why: 'work leased ahead of the requests; more eats the budget and its page faults, less leaves bubbles when main is busy',
  },
  leaseAheadPieces: { default: 2, min: 1, max: 1024, unit: 'count', why: 'least number of pieces leased ahead' },
  leaseIdleMs: {
    default: 30_000,
    min: 100,
    max: 3_600_000,
    unit: 'ms',
    why: 'a lease without progress for this long goes home',
  },
  spillAfterMs: {
    default: 1_000,
    min: 0,
    max: 3_600_000,
    unit: 'ms',
    why: 'when memory is spent, an unfinished piece that nobody has gone on with for so long is put on disk',
  },
  endgameAfterMs: {
    default: 200,
    min: 0,
    max: 60_000,
    unit: 'ms',
    why: 'idle peers ask for what others owe when nothing new came for so long; sooner costs duplicates at full speed',
  },
  writesInFlight: {
    default: 2,
    min: 1,
    max: 64,
    unit: 'count',
    why: 'per torrent; the thread pool has 4 threads and neighbours are coalesced while they wait',
  },
  writeCoalesceBytes: { default: 4 * MIB, min: 16_384, max: 64 * MIB, unit: 'bytes', why: 'most bytes in one writev' },
  groupBytes: {
    default: 16 * MIB,
    min: 1,
    max: 2 ** 40,
    unit: 'bytes',
    why: 'a torrent gets another group for so much of it: to start a thread takes as long as to fetch this',
  },
  openFiles: { default: 128, min: 1, max: 100_000, unit: 'count', why: 'descriptors a thread keeps open' },

  flushesInFlight: {
    default: 2,
    min: 1,
    max: 64,
    unit: 'count',
    why: 'all torrents together: a flush can hold one of the 4 threads of the pool for seconds, and two share a journal commit',
  },
  saveEveryMs: {
    default: 2_000,
    min: 10,
    max: 3_600_000,
    unit: 'ms',
    why: 'resume state is flushed and saved no more often; a power cut costs the work since the last time',
  },

  // Peers
  peersPerTorrent: {
    default: 80,
    min: 1,
    max: 10_000,
    unit: 'count',
    why: 'dials and dialled connections of one torrent; as many may come in',
  },
  maxPeers: {
    default: 2000,
    min: 1,
    max: 100_000,
    unit: 'count',
    why: 'connections of the session; a session takes no more than 60% of the open-file limit unless told to',
  },
  dialsPerSecond: {
    default: 30,
    min: 1,
    max: 10_000,
    unit: 'count',
    why: 'of one torrent, once it has dialled peersPerTorrent: many gateways give up at more; libtorrent has as many',
  },
  halfOpen: { default: 100, min: 1, max: 10_000, unit: 'count', why: 'dials under way in the session' },
  strangers: {
    default: 1000,
    min: 1,
    max: 100_000,
    unit: 'count',
    why: 'incoming connections that have named no torrent yet; more at once than a tracker sends, and a descriptor each',
  },
  connectTimeoutMs: { default: 10_000, min: 10, max: 300_000, unit: 'ms', why: 'de facto 10-15 s' },
  handshakeTimeoutMs: { default: 10_000, min: 10, max: 300_000, unit: 'ms', why: 'de facto 10 s' },
  parkMs: {
    default: 10_000,
    min: 10,
    max: 300_000,
    unit: 'ms',
    why: 'an incoming connection waits this long for main to name its torrent',
  },
  idleTimeoutMs: {
    default: 120_000,
    min: 100,
    max: 3_600_000,
    unit: 'ms',
    why: 'BEP 3: keep-alives come every two minutes',
  },
  keepAliveMs: {
    default: 8_000,
    min: 10,
    max: 120_000,
    unit: 'ms',
    why: 'rqbit drops a peer after 10 s of silence; aria2 objects to two keep-alives within 5 s',
  },
  requestTimeoutMs: {
    default: 20_000,
    min: 10,
    max: 300_000,
    unit: 'ms',
    why: 'no block for this long while some are due: the peer is snubbed',
  },
  reconnectMs: {
    default: 15_000,
    min: 0,
    max: 86_400_000,
    unit: 'ms',
    why: 'first wait before a failed address is dialled again; doubles',
  },
  surveyMs: {
    default: 5_000,
    min: 10,
    max: 600_000,
    unit: 'ms',
    why: 'how often a group looks over its peers for what main and the peers are told of them',
  },
  quietPeerMs: {
    default: 30_000,
    min: 0,
    max: 86_400_000,
    unit: 'ms',
    why: 'without payload for three choke rounds: a peer of higher priority may take the place',
  },
  unwantedPeerMs: {
    default: 60_000,
    min: 1,
    max: 86_400_000,
    unit: 'ms',
    why: 'neither side wants anything for so long: any peer may take the place; transmission begins at 60 s',
  },
  idlePeerMs: {
    default: 300_000,
    min: 0,
    max: 86_400_000,
    unit: 'ms',
    why: 'no payload for so long: any peer may take the place; as long as libtorrent and transmission wait',
  },
  turnoverPerMinute: {
    default: 4,
    min: 0,
    max: 10_000,
    unit: 'count',
    why: 'peers of a full torrent that have to go for others; libtorrent replaces 4% in five minutes',
  },
  corruptPieceLimit: {
    default: 20,
    min: 1,
    max: 10_000,
    unit: 'count',
    why: 'a piece that fails its hash so often ends the download with BAD_DATA; who is banned for it counts a tenth',
  },

  evidenceBytes: {
    default: 16 * MIB,
    min: 0,
    max: 1024 * MIB,
    unit: 'bytes',
    why: 'per torrent, block digests of pieces that failed their hash: 9,000 failures of 1 MiB',
  },
  silentMs: {
    default: 30_000,
    min: 10,
    max: 3_600_000,
    unit: 'ms',
    why: 'without payload for this long a connection loses to a newcomer with its peer id; dials that cross are 20 s apart',
  },

  // What a peer may waste
  idleTalk: {
    default: 10_000,
    min: 100,
    max: 1e9,
    unit: 'count',
    why: 'messages of no use a peer may send at once: five full queues of requests that cross a choke',
  },
  idleTalkPerSecond: {
    default: 1_000,
    min: 0,
    max: 1e9,
    unit: 'count',
    why: 'and so many more in a second, which cost a thousandth of a core',
  },
  unaskedBlocks: {
    default: 256,
    min: 0,
    max: 1e9,
    unit: 'count',
    why: 'blocks beyond those ever asked of a peer, which also cover cancelled ones that come: 4 MiB for an odd client',
  },

  // Requests
  requestsAtStart: {
    default: 32,
    min: 1,
    max: 2048,
    unit: 'count',
    why: 'outstanding blocks before the first round trip is measured',
  },
  requestsMin: { default: 4, min: 1, max: 2048, unit: 'count', why: 'floor of the window of a slow peer' },
  requestsUnknownReqq: {
    default: 500,
    min: 1,
    max: 2048,
    unit: 'count',
    why: 'first cap for a peer that has not told its queue length: what libtorrent asks of such a one',
  },
  requestsMax: { default: 2048, min: 1, max: 65_536, unit: 'count', why: 'libtorrent and transmission accept 2000' },
  requestAheadMs: {
    default: 4,
    min: 0,
    max: 1_000,
    unit: 'ms',
    why: 'of its rate is the least a fast peer is asked for: each write of requests costs as much as 40 KiB of payload',
  },
  requestTightMs: {
    default: 300,
    min: 0,
    max: 60_000,
    unit: 'ms',
    why: 'most work queued at a peer when no buffer is free: with hundreds of slow peers their queues are all the memory there is',
  },
  requestQueueMs: {
    default: 3_000,
    min: 100,
    max: 60_000,
    unit: 'ms',
    why: 'most work queued at a slow peer, as libtorrent does',
  },

  // Uploads
  uploadSlots: {
    default: 8,
    min: 0,
    max: 10_000,
    unit: 'count',
    why: 'interested peers unchoked per torrent, in all groups together; 4 to 8 are de facto',
  },
  chokeRoundMs: {
    default: 10_000,
    min: 10,
    max: 600_000,
    unit: 'ms',
    why: 'how often the choker decides anew; 10 s is de facto, shorter makes TCP start over and over',
  },
  uploadQueue: {
    default: 2000,
    min: 1,
    max: 65_536,
    unit: 'count',
    why: 'requests kept per peer; further ones are ignored, as libtorrent does',
  },
  uploadRequestBytes: {
    default: 131_072,
    min: 16_384,
    max: MIB,
    unit: 'bytes',
    why: 'longest request served; transmission asks for unaligned ranges, nobody for more',
  },
  uploadBufferBytes: {
    default: 512 * 1024,
    min: 16_384,
    max: 64 * MIB,
    unit: 'bytes',
    why: 'unsent bytes per peer above which no block is read from disk',
  },
  uploadReadBytes: {
    default: 256 * 1024,
    min: 16_384,
    max: 16 * MIB,
    unit: 'bytes',
    why: 'adjacent requests read from disk and sent as one',
  },

  // Trackers
  trackerConnectMs: {
    default: 10_000,
    min: 10,
    max: 300_000,
    unit: 'ms',
    why: 'HTTP: name look-up, connect and TLS together',
  },
  trackerTotalMs: {
    default: 30_000,
    min: 10,
    max: 600_000,
    unit: 'ms',
    why: 'HTTP: the whole exchange, redirects included',
  },
  trackerBodyBytes: {
    default: 2 * MIB,
    min: 1024,
    max: 64 * MIB,
    unit: 'bytes',
    why: 'cap of an HTTP answer after decompression',
  },
  trackerRedirects: { default: 5, min: 0, max: 100, unit: 'count', why: 'as browsers and curl: a handful' },
  trackerConnectionsPerHost: { default: 4, min: 1, max: 256, unit: 'count', why: 'many torrents share a tracker' },
  udpResendMs: {
    default: 5_000,
    min: 10,
    max: 60_000,
    unit: 'ms',
    why: 'BEP 15 says 15 s x 2^n, too slow for a command line; doubles',
  },
  udpTotalMs: {
    default: 15_000,
    min: 10,
    max: 600_000,
    unit: 'ms',
    why: 'a UDP tracker silent for this long has failed',
  },
  announceMinMs: {
    default: 30_000,
    min: 10,
    max: 86_400_000,
    unit: 'ms',
    why: 'no tracker is asked more often, whatever interval it names',
  },
  announceMaxMs: { default: 3_600_000, min: 10, max: 86_400_000, unit: 'ms', why: 'longest interval obeyed' },
  announceDefaultMs: { default: 1_800_000, min: 10, max: 86_400_000, unit: 'ms', why: 'when the tracker names none' },
  announceRetryMs: {
    default: 5_000,
    min: 10,
    max: 86_400_000,
    unit: 'ms',
    why: 'first wait after every tracker failed; doubles up to announceMaxMs',
  },
  announceStopMs: { default: 2_000, min: 10, max: 60_000, unit: 'ms', why: 'longest wait for `stopped` at exit' },
  numwant: {
    default: 200,
    min: 0,
    max: 10_000,
    unit: 'count',
    why: 'peers asked for per announce; trackers cap at 50 to 200',
  },

  // Port mapping
  natLifetimeMs: {
    default: 3_600_000,
    min: 120_000,
    max: 86_400_000,
    unit: 'ms',
    why: 'asked of the gateway, renewed at half; a mapping left behind by a crash is gone after an hour',
  },
  natRetryMs: {
    default: 600_000,
    min: 1_000,
    max: 86_400_000,
    unit: 'ms',
    why: 'pause after no gateway gave a mapping; still twice within what is left of a lease of an hour',
  },
  natResendMs: { default: 250, min: 10, max: 10_000, unit: 'ms', why: 'RFC 6886 §3.1: first wait; doubles' },
  natSearchMs: { default: 4_000, min: 10, max: 60_000, unit: 'ms', why: 'UPnP: gateways may take 2 s to answer' },
  natRequestMs: { default: 5_000, min: 10, max: 60_000, unit: 'ms', why: 'UPnP: one HTTP exchange with a slow router' },
  natBodyBytes: {
    default: 256 * 1024,
    min: 1024,
    max: 4 * MIB,
    unit: 'bytes',
    why: 'UPnP: cap of a description; those of routers are under 20 KiB',
  },
  natCloseMs: { default: 1_000, min: 0, max: 10_000, unit: 'ms', why: 'longest wait at exit to take the mapping back' },

  // Patience of a download
  peerTimeoutMs: {
    default: 60_000,
    min: 0,
    max: 86_400_000,
    unit: 'ms',
    why: 'UNAVAILABLE when no peer ever connected; 0 waits for ever',
  },
  stallTimeoutMs: {
    default: 300_000,
    min: 0,
    max: 86_400_000,
    unit: 'ms',
    why: 'STALLED when peers were there and no block came; 0 waits for ever',
  },

  // Housekeeping
  tickMs: {
    default: 250,
    min: 10,
    max: 10_000,
    unit: 'ms',
    why: 'the one timer of a worker: deadlines, keep-alives, statistics',
  },
  verifiedBatchMs: {
    default: 4,
    min: 0,
    max: 1_000,
    unit: 'ms',
    why: 'verified pieces go home together: each message wakes main, and each wakes the disk',
  },
  verifiedBatchBytes: { default: 4 * MIB, min: 1, max: 1024 * MIB, unit: 'bytes', why: 'as many as one writev takes' },
  doorbellMs: {
    default: 2,
    min: 0,
    max: 1_000,
    unit: 'ms',
    why: 'a group busy with sockets looks at its port this often: 276 ms median without, 1.8 ms with',
  },
  haveBatchMs: {
    default: 100,
    min: 0,
    max: 10_000,
    unit: 'ms',
    why: 'HAVEs go out in batches: one by one they cost twice a core in a large swarm',
  },
} as const satisfies Record<string, Tunable>;

/** The engine's tunables, resolved; units are in the names. */
export type Options = { readonly [Name in keyof typeof TUNABLES]: number };

/** Every tunable at its default. */
export const DEFAULTS: Options = Object.freeze(
  Object.fromEntries(Object.entries(TUNABLES).map(([name, tunable]) => [name, tunable.default])),
) as Options;

/**
 * The defaults with some overridden.
 * @throws RangeError naming the option, its range and what was given
 */
export function resolveOptions(overrides: Partial<Options> = {}): Options {
  for (const [name, value] of Object.entries(overrides)) {
    if (!Object.hasOwn(TUNABLES, name)) throw new RangeError(`unknown option ${name}`);
    const { min, max, unit }: Tunable = TUNABLES[name as keyof Options];
    // Times may have fractions; what is counted may not.
    const isNumber = unit === 'ms' ? Number.isFinite(value) : Number.isInteger(value);
    if (!isNumber || value < min || value > max) {
      throw new RangeError(
        `${name} must be ${unit === 'ms' ? '' : 'a whole number, '}${min} to ${max} ${unit}, got ${value}`,
      );
    }
  }
  return { ...DEFAULTS, ...overrides };
}
