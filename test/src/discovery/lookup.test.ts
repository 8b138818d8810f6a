import { describe, expect, it } from 'vitest';
import { addressesOf, type Lookup, netLookup, sharedLookup, systemLookup } from '../../../src/discovery/lookup.js';

const both: Lookup = async () => ['2001:DB8::1', '::ffff:1.2.3.4', 'nonsense'];

/** What `net` gets back, as arguments of its callback. */
const asked = (lookup: Lookup, options: object): Promise<unknown[]> =>
  new Promise((resolve) => netLookup(lookup)('t.example', options, (...args) => resolve(args)));

describe('addressesOf', () => {
  it('gives canonical addresses, and literals without asking', async () => {
    const unasked: Lookup = () => Promise.reject(new Error('asked'));
    expect(await addressesOf('t.example', both)).toEqual(['2001:db8::1', '1.2.3.4']);
    expect(await addressesOf('1.2.3.4', unasked)).toEqual(['1.2.3.4']);
    expect(await addressesOf('[::FFFF:1.2.3.4]', unasked)).toEqual(['1.2.3.4']);
    expect(await addressesOf('::1', unasked)).toEqual(['::1']);
    await expect(addressesOf('t.example', unasked)).rejects.toThrow('asked');
  });

  it('finds this machine with the look-up of the system', async () => {
    const found = await addressesOf('localhost', systemLookup);
    expect(found.every((host) => host === '127.0.0.1' || host === '::1')).toBe(true);
    expect(found.length).toBeGreaterThan(0);
  });
});

describe('netLookup', () => {
  it('answers in the shape that was asked for', async () => {
    const four = { address: '1.2.3.4', family: 4 };
    const six = { address: '2001:db8::1', family: 6 };
    expect(await asked(both, { all: true })).toEqual([null, [six, four]]);
    expect(await asked(both, { all: true, family: 4 })).toEqual([null, [four]]);
    expect(await asked(both, { family: 'IPv4' })).toEqual([null, '1.2.3.4', 4]);
    expect(await asked(both, {})).toEqual([null, '2001:db8::1', 6]);
  });

  it('passes errors on, and makes one when nothing is left', async () => {
    expect(await asked(() => Promise.reject(new Error('ENOTFOUND')), {})).toEqual([new Error('ENOTFOUND'), '', 0]);
    expect(await asked(async () => ['::1'], { all: true, family: 4 })).toEqual([
      new Error('t.example has no usable address'),
      '',
      0,
    ]);
  });
});

describe('sharedLookup', () => {
  it('asks once for all who wait, and again for who comes later', async () => {
    let count = 0;
    const shared = sharedLookup(async (name) => [`${name}${++count}`]);
    expect(await Promise.all([shared('a'), shared('b'), shared('a')])).toEqual([['a1'], ['b2'], ['a1']]);
    expect(await shared('a')).toEqual(['a3']);
  });

  it('lets all who wait know of a failure, and forgets it', async () => {
    let fails = true;
    const shared = sharedLookup(async () => {
      if (fails) throw new Error('no');
      return ['1.2.3.4'];
    });
    const results = await Promise.allSettled([shared('a'), shared('a')]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    fails = false;
    expect(await shared('a')).toEqual(['1.2.3.4']);
  });
});
