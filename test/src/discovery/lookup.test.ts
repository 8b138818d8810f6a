import { describe, expect, it } from 'vitest';
import {
  addressesOf,
  type Lookup,
  netLookup,
  noAddress,
  reasonOf,
  systemLookup,
  usableFamily,
} from '../../../src/discovery/lookup.js';
import { TrackerError } from '../../../src/protocol/announce.js';

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
    expect(await asked(async () => ['::1'], { all: true, family: 4 })).toEqual([noAddress('t.example', 4), '', 0]);
    expect(await asked(async () => [], { all: true, family: 4 })).toEqual([noAddress('t.example'), '', 0]);
    expect(noAddress('t.example').message).toBe('t.example has no usable address');
  });
});

describe('netLookup of one family', () => {
  const askedOf = (family: 4 | 6, lookup: Lookup, options: object): Promise<unknown[]> =>
    new Promise((resolve) => netLookup(lookup, family)('t.example', options, (...args) => resolve(args)));

  it('gives its addresses alone, whatever net asks for', async () => {
    expect(await askedOf(4, both, { all: true })).toEqual([null, [{ address: '1.2.3.4', family: 4 }]]);
    expect(await askedOf(6, both, { all: true })).toEqual([null, [{ address: '2001:db8::1', family: 6 }]]);
    expect(await askedOf(6, both, {})).toEqual([null, '2001:db8::1', 6]);
  });

  it('says which one a name lacks', async () => {
    const [error] = await askedOf(6, async () => ['1.2.3.4'], { all: true });
    expect(error).toMatchObject({ message: 't.example has no IPv6 address', code: 'ENODATA' });
    const [nothing] = await askedOf(6, async () => [], {});
    expect(nothing).toMatchObject({ message: 't.example has no usable address' });
  });
});

describe('usableFamily', () => {
  it('is the wanted one, the local address having the last word', () => {
    expect(usableFamily(undefined, undefined)).toBeUndefined();
    expect(usableFamily(6, undefined)).toBe(6);
    expect(usableFamily(undefined, '::1')).toBe(6);
    expect(usableFamily(4, '127.0.0.1')).toBe(4);
    expect(() => usableFamily(6, '127.0.0.1')).toThrow(
      new TrackerError('expected a tracker to be asked over IPv4 from 127.0.0.1, got IPv6'),
    );
  });
});

describe('reasonOf', () => {
  const refused = new TrackerError('connect ECONNREFUSED 1.2.3.4:80', { cause: { code: 'ECONNREFUSED' } });
  const missing = new TrackerError('t.example has no IPv6 address', { cause: noAddress('t.example', 6) });

  it('leaves out the family a host is not there in, unless nothing else is left', () => {
    expect(reasonOf([refused, missing])).toBe('connect ECONNREFUSED 1.2.3.4:80');
    expect(reasonOf([missing])).toBe('t.example has no IPv6 address');
  });

  it('says the same thing once', () => {
    expect(reasonOf([refused, refused, new Error('no')])).toBe('connect ECONNREFUSED 1.2.3.4:80; no');
  });

  it.each(['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT'])('takes %s for no way', (code) => {
    expect(reasonOf([Object.assign(new Error('no way'), { code }), refused])).toBe(refused.message);
  });
});
