// Values for property tests.
import fc from 'fast-check';

const SURROGATES = { first: 0xd800, count: 0x800 } as const;

/** Any text of whole code points. What `fast-check` has for this takes a second of preparation in each process. */
export const anyText = (): fc.Arbitrary<string> =>
  fc.string({
    unit: fc
      .nat(0x10ffff - SURROGATES.count)
      .map((nth) => String.fromCodePoint(nth < SURROGATES.first ? nth : nth + SURROGATES.count)),
  });
