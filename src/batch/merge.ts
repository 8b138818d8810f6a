/**
 * What is left of the items when each has been compared with those before it: an infohash is downloaded once, a path is written
 * by one. Items come one at a time, so that a stream can be merged, too.
 */
import { resolve } from 'node:path';
import { SpateError } from '../errors.js';
import { type Target, Targets, targetPath } from '../storage/targets.js';
import { readAgain } from './check.js';
import { type Checked, formatPlace, type Place, type Refused } from './entry.js';

/** One of several machines that share a list. */
export interface Shard {
  /** From 1 on. */
  readonly index: number;
  readonly count: number;
}

export type Merged =
  | { readonly kind: 'item'; readonly item: Checked }
  /** It is another shard's. */
  | { readonly kind: 'elsewhere'; readonly item: Checked }
  /** The torrent was there before: that item counts, with its folder and its choice of files. */
  | { readonly kind: 'duplicate'; readonly item: Checked; readonly of: Place }
  /** It would be written where an earlier item is. */
  | { readonly kind: 'refused'; readonly item: Checked; readonly refused: Refused };

const MAX_SHARDS = 10_000;

export class Merge {
  readonly #out: string;
  readonly #shard: Shard | undefined;
  readonly #byInfohash = new Map<string, Place>();
  readonly #targets = new Targets();

  /** @param out folder of items that name none */
  constructor(out: string, shard?: Shard) {
    this.#out = out;
    this.#shard = shard;
  }

  take(item: Checked): Merged {
    const { entry, infohash, name } = item;
    if (this.#shard !== undefined && !isInShard(infohash, this.#shard)) return { kind: 'elsewhere', item };
    const of = this.#byInfohash.get(infohash);
    if (of !== undefined) return { kind: 'duplicate', item, of };
    const out = entry.out ?? this.#out;
    const target = { path: targetPath(out, name), owner: formatPlace(entry.place), files: () => filesOf(item) };
    const other = this.#targets.inTheWayOf(target);
    if (other !== undefined) return { kind: 'refused', item, refused: collision(item, resolve(out, name), other) };
    this.#byInfohash.set(infohash, entry.place);
    this.#targets.add(target);
    return { kind: 'item', item };
  }
}

/** The notice for a duplicate. */
export function duplicateText({ entry, infohash }: Checked, of: Place): string {
  return `${formatPlace(entry.place)}: ${entry.source} is left out: ${formatPlace(of)} is the same torrent (${infohash})`;
}

/**
 * `2/4`: the second of four.
 * @throws SpateError USAGE
 */
export function parseShard(text: string): Shard {
  const match = /^\s*(\d{1,5})\s*\/\s*(\d{1,5})\s*$/.exec(text);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  if (index >= 1 && index <= count && count <= MAX_SHARDS) return { index, count };
  throw new SpateError('USAGE', `expected a shard such as 1/4, of at most ${MAX_SHARDS}, got "${text}"`);
}

/** The same on every machine, and even: an infohash is as good as random. */
export function isInShard(infohash: string, { index, count }: Shard): boolean {
  return Number.parseInt(infohash.slice(0, 12), 16) % count === index - 1;
}

/** Read again, or they would stay in memory. A torrent that is gone may have had any: it has its place to itself. */
function filesOf(item: Checked): ReturnType<Target['files']> {
  try {
    return readAgain(item).files;
  } catch {
    return [{ path: [item.name], pad: false }];
  }
}

function collision({ entry, name }: Checked, path: string, other: Target): Refused {
  const { place, source } = entry;
  const where = `${source}: ${name} would be written where the torrent of ${other.owner} is: ${path}`;
  const error = new SpateError('INVALID_TORRENT', `${where}; give one of them another folder (\`out\`)`);
  return { place, source, entry, error };
}
