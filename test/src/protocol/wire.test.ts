import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BLOCK_HEADER_LENGTH,
  BLOCK_LENGTH,
  CHOKE,
  encodeAllowedFast,
  encodeBitfield,
  encodeExtended,
  encodeHaves,
  encodePort,
  encodeReject,
  HAVE_ALL,
  HAVE_NONE,
  INTERESTED,
  KEEP_ALIVE,
  NOT_INTERESTED,
  REQUEST_LENGTH,
  UNCHOKE,
  WireDecoder,
  WireError,
  type WireSink,
  writeBlockHeader,
  writeCancel,
  writeRequest,
} from '../../../src/protocol/wire.js';

/** Bytes from hexadecimal text; spaces are for the reader. */
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Writes down what it is told, one line per event; the chunks of a block are put together. */
class Recorder implements WireSink {
  readonly events: string[] = [];
  /** Called after each event. */
  after: () => void = () => {};
  #block = '';

  #note(event: string): void {
    this.events.push(event);
    this.after();
  }

  onKeepAlive(): void {
    this.#note('keep-alive');
  }
  onChoke(): void {
    this.#note('choke');
  }
  onUnchoke(): void {
    this.#note('unchoke');
  }
  onInterested(): void {
    this.#note('interested');
  }
  onNotInterested(): void {
    this.#note('not interested');
  }
  onHave(index: number): void {
    this.#note(`have ${index}`);
  }
  onBitfield(bytes: Uint8Array): void {
    this.#note(`bitfield ${text(bytes)}`);
  }
  onRequest(index: number, begin: number, length: number): void {
    this.#note(`request ${index} ${begin} ${length}`);
  }
  onCancel(index: number, begin: number, length: number): void {
    this.#note(`cancel ${index} ${begin} ${length}`);
  }
  onBlockStart(index: number, begin: number, length: number): void {
    this.#block = '';
    this.#note(`block ${index} ${begin} ${length}`);
  }
  onBlockChunk(bytes: Uint8Array, start: number, end: number): void {
    expect(end).toBeGreaterThan(start);
    this.#block += text(bytes.subarray(start, end));
  }
  onBlockEnd(): void {
    this.#note(`block end ${this.#block}`);
  }
  onPort(port: number): void {
    this.#note(`port ${port}`);
  }
  onSuggest(index: number): void {
    this.#note(`suggest ${index}`);
  }
  onHaveAll(): void {
    this.#note('have all');
  }
  onHaveNone(): void {
    this.#note('have none');
  }
  onReject(index: number, begin: number, length: number): void {
    this.#note(`reject ${index} ${begin} ${length}`);
  }
  onAllowedFast(index: number): void {
    this.#note(`allowed fast ${index}`);
  }
  onExtended(id: number, body: Uint8Array): void {
    this.#note(`extended ${id} ${text(body)}`);
  }
  onUnknown(id: number, length: number): void {
    this.#note(`unknown ${id} ${length}`);
  }
}

/** The events of bytes that arrive in pieces cut at `cuts`; an error is the last event. */
function eventsOf(bytes: Uint8Array, cuts: readonly number[] = []): string[] {
  const recorder = new Recorder();
  const decoder = new WireDecoder(recorder);
  const ends = [...new Set([...cuts, bytes.length])].sort((a, b) => a - b);
  let start = 0;
  try {
    for (const end of ends) {
      // What a read brings stands somewhere in a larger buffer that the next read overwrites.
      const scratch = new Uint8Array(end - start + 5).fill(0xee);
      scratch.set(bytes.subarray(start, end), 3);
      expect(decoder.push(scratch, 3, 3 + end - start)).toBe(3 + end - start);
      scratch.fill(0xdd);
      start = end;
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    recorder.events.push(`error ${error.message}`);
  }
  return recorder.events;
}

/** Each message by hand, and what it says. */
const MESSAGES: readonly (readonly [string, readonly string[]])[] = [
  ['00000000', ['keep-alive']],
  ['00000001 00', ['choke']],
  ['00000001 01', ['unchoke']],
  ['00000001 02', ['interested']],
  ['00000001 03', ['not interested']],
  ['00000005 04 01020304', ['have 16909060']],
  ['00000005 04 ffffffff', ['have 4294967295']],
  ['00000001 05', ['bitfield ']],
  ['00000003 05 f080', ['bitfield f080']],
  ['0000000d 05 000102030405060708090a0b', ['bitfield 000102030405060708090a0b']],
  ['00000012 05 ffffffffffffffffffffffffffffffff80', ['bitfield ffffffffffffffffffffffffffffffff80']],
  ['0000000d 06 00000001 00004000 00000009', ['request 1 16384 9']],
  ['0000000d 06 ffffffff fffffffe fffffffd', ['request 4294967295 4294967294 4294967293']],
  ['0000000c 07 00000002 00008000 aabbcc', ['block 2 32768 3', 'block end aabbcc']],
  ['00000009 07 00000002 00008000', ['block 2 32768 0', 'block end ']],
  ['0000000a 07 ffffffff ffffffff 5a', ['block 4294967295 4294967295 1', 'block end 5a']],
  ['0000000d 08 00000003 00000004 00004000', ['cancel 3 4 16384']],
  ['00000003 09 1ae1', ['port 6881']],
  ['00000003 09 ffff', ['port 65535']],
  ['00000005 0d 01020304', ['suggest 16909060']],
  ['00000001 0e', ['have all']],
  ['00000001 0f', ['have none']],
  ['0000000d 10 00000001 00004000 fffffffd', ['reject 1 16384 4294967293']],
  ['00000005 11 ffffffff', ['allowed fast 4294967295']],
  ['00000008 14 00 64313a6d 6465', ['extended 0 64313a6d6465']],
  ['00000002 14 ff', ['extended 255 ']],
  ['00000010 14 03 000102030405060708090a0b0c0d', ['extended 3 000102030405060708090a0b0c0d']],
  ['00000001 15', ['unknown 21 0']],
  ['00000005 0a 01020304', ['unknown 10 4']],
  ['00000002 ff 07', ['unknown 255 1']],
];
const SEQUENCE = hex(MESSAGES.map(([bytes]) => bytes).join(''));
const SEQUENCE_EVENTS = MESSAGES.flatMap(([, events]) => events);

/** A `piece` message of a full block, its payload a pattern. */
const FULL_BLOCK = new Uint8Array(13 + BLOCK_LENGTH).map((_, i) => (i * 7) & 0xff);
FULL_BLOCK.set(hex('00004009 07 00000000 00000000'));

describe('the decoder', () => {
  it.each(MESSAGES)('reads %s', (bytes, events) => {
    expect(eventsOf(hex(bytes))).toEqual(events);
  });

  it('reads one message after the other', () => {
    expect(eventsOf(SEQUENCE)).toEqual(SEQUENCE_EVENTS);
    expect(eventsOf(Uint8Array.of(...SEQUENCE, ...SEQUENCE))).toEqual([...SEQUENCE_EVENTS, ...SEQUENCE_EVENTS]);
  });

  it('reads the same whatever the split point', () => {
    for (let cut = 1; cut < SEQUENCE.length; cut++) expect(eventsOf(SEQUENCE, [cut])).toEqual(SEQUENCE_EVENTS);
  });

  it('reads the same byte by byte', () => {
    expect(eventsOf(SEQUENCE, [...SEQUENCE.keys()])).toEqual(SEQUENCE_EVENTS);
  });

  it('reads any order of messages the same whatever the splits', () => {
    const messages = fc.array(fc.constantFrom(...MESSAGES), { minLength: 1, maxLength: 20 });
    const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), { maxLength: 12 });
    fc.assert(
      fc.property(messages, fractions, (chosen, splits) => {
        const bytes = hex(chosen.map(([message]) => message).join(''));
        const cuts = splits.map((fraction) => Math.floor(fraction * bytes.length)).filter((cut) => cut > 0);
        expect(eventsOf(bytes, cuts)).toEqual(chosen.flatMap(([, events]) => events));
      }),
      { numRuns: 500 },
    );
  });

  it('hands a full block on in the chunks it comes in, without holding it back', () => {
    const chunks: number[] = [];
    const recorder = new Recorder();
    recorder.onBlockChunk = (_, start, end) => chunks.push(end - start);
    const decoder = new WireDecoder(recorder);
    decoder.push(FULL_BLOCK, 0, 14);
    decoder.push(FULL_BLOCK, 14, 5000);
    decoder.push(FULL_BLOCK, 5000, FULL_BLOCK.length - 1);
    expect(recorder.events).toEqual(['block 0 0 16384']);
    decoder.push(FULL_BLOCK, FULL_BLOCK.length - 1, FULL_BLOCK.length);
    expect(chunks).toEqual([1, 4986, FULL_BLOCK.length - 5001, 1]);
    expect(recorder.events).toHaveLength(2);
  });

  it('keeps every byte of a full block whatever the splits', () => {
    const whole = eventsOf(FULL_BLOCK);
    expect(whole).toEqual(['block 0 0 16384', `block end ${text(FULL_BLOCK.subarray(13))}`]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: FULL_BLOCK.length - 1 }), { maxLength: 20 }), (cuts) => {
        expect(eventsOf(FULL_BLOCK, cuts)).toEqual(whole);
      }),
      { numRuns: 50 },
    );
  });

  it('takes no bytes from an empty read', () => {
    const recorder = new Recorder();
    expect(new WireDecoder(recorder).push(hex('00000000'), 2, 2)).toBe(2);
    expect(recorder.events).toEqual([]);
  });
});

describe('a message of the wrong length', () => {
  it.each([
    ['00000002 00', 'message 0 of 2 bytes, expected 1'],
    ['00000002 01', 'message 1 of 2 bytes, expected 1'],
    ['00000005 02', 'message 2 of 5 bytes, expected 1'],
    ['00000004 04', 'message 4 of 4 bytes, expected 5'],
    ['00000006 04', 'message 4 of 6 bytes, expected 5'],
    ['00000001 04', 'message 4 of 1 bytes, expected 5'],
    ['0000000c 06', 'message 6 of 12 bytes, expected 13'],
    ['0000000e 06', 'message 6 of 14 bytes, expected 13'],
    ['00000008 07', 'piece message of 8 bytes, expected 9 to 16393'],
    ['00000001 07', 'piece message of 1 bytes, expected 9 to 16393'],
    ['0000400a 07', 'piece message of 16394 bytes, expected 9 to 16393'],
    ['0000000c 08', 'message 8 of 12 bytes, expected 13'],
    ['0000000e 08', 'message 8 of 14 bytes, expected 13'],
    ['00000002 09', 'message 9 of 2 bytes, expected 3'],
    ['00000004 09', 'message 9 of 4 bytes, expected 3'],
    ['00000004 0d', 'message 13 of 4 bytes, expected 5'],
    ['00000002 0e', 'message 14 of 2 bytes, expected 1'],
    ['00000002 0f', 'message 15 of 2 bytes, expected 1'],
    ['0000000c 10', 'message 16 of 12 bytes, expected 13'],
    ['00000006 11', 'message 17 of 6 bytes, expected 5'],
    ['00000001 14', 'extended message without an id'],
    ['00010001 14', 'message 20 of 65537 bytes, at most 65536 are taken'],
  ])('is refused at its id: %s', (bytes, message) => {
    expect(eventsOf(hex(`00000001 01 ${bytes}`))).toEqual(['unchoke', `error ${message}`]);
    // The length alone is not judged yet, and nothing more is needed.
    expect(eventsOf(hex(`00000001 01 ${bytes}`).subarray(0, -1))).toEqual(['unchoke']);
  });

  it.each([
    ['40000000', 'message of 1073741824 bytes, at most 1048576 are taken'],
    ['ffffffff', 'message of 4294967295 bytes, at most 1048576 are taken'],
    ['00100001', 'message of 1048577 bytes, at most 1048576 are taken'],
  ])('is refused before its id when nothing is that long: %s', (bytes, message) => {
    expect(eventsOf(hex(bytes))).toEqual([`error ${message}`]);
    expect(eventsOf(hex(bytes).subarray(0, -1))).toEqual([]);
  });

  it('is refused when it is a bitfield longer than the torrent can have', () => {
    const push = (bytes: string): void => {
      new WireDecoder(new Recorder(), 2).push(hex(bytes), 0, hex(bytes).length);
    };
    push('00000003 05 f080');
    expect(() => push('00000004 05')).toThrow(new WireError('message 5 of 4 bytes, at most 3 are taken'));
  });
});

describe('the longest messages', () => {
  it('of an unknown id are skipped without being kept', () => {
    const recorder = new Recorder();
    const decoder = new WireDecoder(recorder);
    decoder.push(hex('00100000 15'), 0, 5);
    const chunk = new Uint8Array(16_384);
    const before = process.memoryUsage().arrayBuffers;
    for (let left = 1_048_575; left > 0; left -= chunk.length) decoder.push(chunk, 0, Math.min(left, chunk.length));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(65_536);
    decoder.push(hex('00000001 00'), 0, 5);
    expect(recorder.events).toEqual(['unknown 21 1048575', 'choke']);
  });

  it('of a bitfield come whole', () => {
    const bytes = new Uint8Array(4 + 1_048_576).fill(0xff);
    bytes.set(hex('00100000 05'));
    for (const cuts of [[], [5], [6, 1_000_000]]) {
      const [event, ...more] = eventsOf(bytes, cuts);
      expect(event === `bitfield ${'ff'.repeat(1_048_575)}`).toBe(true);
      expect(more).toEqual([]);
    }
  });
});

describe('garbage', () => {
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    // Lengths and ids that are nearly right get further into the decoder.
    fc
      .array(
        fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 22 }), fc.uint8Array({ maxLength: 20 })),
        { maxLength: 8 },
      )
      .map((messages) => Uint8Array.from(messages.flatMap(([length, id, body]) => [0, 0, 0, length, id, ...body]))),
  );

  it('ends in a WireError or goes on, the same for every way of splitting it', () => {
    fc.assert(
      fc.property(garbage, fc.array(fc.nat(200), { maxLength: 10 }), (bytes, splits) => {
        const cuts = splits.filter((cut) => cut > 0 && cut < bytes.length);
        expect(eventsOf(bytes, cuts)).toEqual(eventsOf(bytes));
        expect(eventsOf(bytes, [...bytes.keys()].slice(1))).toEqual(eventsOf(bytes));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('pause', () => {
  it('stops the decoder after the message that asked for it', () => {
    let at = 0;
    for (const [index, [bytes, events]] of MESSAGES.entries()) {
      const recorder = new Recorder();
      const decoder = new WireDecoder(recorder);
      const expected = [...MESSAGES.slice(0, index).flatMap(([, earlier]) => earlier), ...events];
      recorder.after = () => {
        if (recorder.events.length === expected.length) decoder.pause();
      };
      at += hex(bytes).length;
      expect(decoder.push(SEQUENCE, 0, SEQUENCE.length)).toBe(at);
      expect(decoder.push(SEQUENCE, at, SEQUENCE.length)).toBe(at);
      expect(recorder.events).toEqual(expected);
    }
  });

  it('stops it in the middle of a block', () => {
    const recorder = new Recorder();
    const decoder = new WireDecoder(recorder);
    recorder.after = () => decoder.pause();
    expect(decoder.push(FULL_BLOCK, 0, FULL_BLOCK.length)).toBe(13);
    expect(decoder.push(FULL_BLOCK, 13, FULL_BLOCK.length)).toBe(13);
    expect(recorder.events).toEqual(['block 0 0 16384']);
  });
});

describe('the encoders', () => {
  it('write messages without a body', () => {
    expect(text(KEEP_ALIVE)).toBe('00000000');
    expect(text(CHOKE)).toBe('0000000100');
    expect(text(UNCHOKE)).toBe('0000000101');
    expect(text(INTERESTED)).toBe('0000000102');
    expect(text(NOT_INTERESTED)).toBe('0000000103');
  });

  it('write the fast extension', () => {
    expect(text(HAVE_ALL)).toBe('000000010e');
    expect(text(HAVE_NONE)).toBe('000000010f');
    expect(encodeAllowedFast([1, 0xffffffff])).toEqual(hex('00000005 11 00000001 00000005 11 ffffffff'));
    expect(encodeReject(1, 0x4000, 9)).toEqual(hex('0000000d 10 00000001 00004000 00000009'));
  });

  it('write extended messages', () => {
    expect(encodeExtended(3, hex('6465'))).toEqual(hex('00000004 14 03 6465'));
    expect(encodeExtended(0, new Uint8Array(0))).toEqual(hex('00000002 14 00'));
  });

  it('write bitfields', () => {
    expect(encodeBitfield(hex('f080'))).toEqual(hex('00000003 05 f080'));
    expect(encodeBitfield(new Uint8Array(0))).toEqual(hex('00000001 05'));
    expect(encodeBitfield(new Uint8Array(70_000)).subarray(0, 5)).toEqual(hex('00011171 05'));
  });

  it('write haves, any number in one buffer', () => {
    expect(encodeHaves([])).toEqual(new Uint8Array(0));
    expect(encodeHaves([0, 0x01020304, 0xffffffff])).toEqual(
      hex('00000005 04 00000000 00000005 04 01020304 00000005 04 ffffffff'),
    );
  });

  it('write requests and cancels where they are told to, touching nothing else', () => {
    const bytes = new Uint8Array(2 + 2 * REQUEST_LENGTH + 1).fill(0xee);
    writeRequest(bytes, 2, 0x01020304, 0x00084000, 0x4000);
    writeCancel(bytes, 2 + REQUEST_LENGTH, 0xffffffff, 0xfffffffe, 9);
    expect(bytes).toEqual(hex('eeee 0000000d 06 01020304 00084000 00004000 0000000d 08 ffffffff fffffffe 00000009 ee'));
  });

  it('write the header of a block', () => {
    const bytes = new Uint8Array(1 + BLOCK_HEADER_LENGTH + 1).fill(0xee);
    writeBlockHeader(bytes, 1, 0x01020304, 0x00084000, 0x4000);
    expect(bytes).toEqual(hex('ee 00004009 07 01020304 00084000 ee'));
  });

  it('write ports', () => {
    expect(encodePort(6881)).toEqual(hex('00000003 09 1ae1'));
    expect(encodePort(65_535)).toEqual(hex('00000003 09 ffff'));
  });
});
