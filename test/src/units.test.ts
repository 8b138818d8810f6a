import { expect, test } from 'vitest';
import {
  formatBytes,
  formatEta,
  formatPart,
  formatPercent,
  formatRate,
  formatRates,
  formatSeconds,
  parseDuration,
  parseRateLimit,
  parseSize,
  parseSizeLimit,
} from '../../src/units.js';

test.each([
  ['0', 0],
  ['1', 1],
  ['500000', 500_000],
  ['512B', 512],
  ['1K', 1024],
  ['1k', 1024],
  ['1KiB', 1024],
  ['1kB', 1000],
  ['1KB', 1000],
  ['256MiB', 268_435_456],
  ['256mib', 268_435_456],
  ['10MB', 10_000_000],
  ['1G', 1_073_741_824],
  ['1.5GiB', 1_610_612_736],
  ['2GB', 2_000_000_000],
  ['1T', 1_099_511_627_776],
  [' 4 KiB ', 4096],
])('the size %s is %i bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(['', 'lots', '-1', '1e6', '0x10', '1,5G', '.5G', '1KK', '10Mb', '10b', '10Mbit', '1 GiB/s', 'none', '1Ki'])(
  '"%s" is no size, and the error says what one is',
  (text) => {
    expect(() => parseSize(text)).toThrow(`expected a size such as 256MiB, 1G or 500000, got "${text}"`);
  },
);

test('a size that no number holds is refused', () => {
  expect(() => parseSize('9000000T')).toThrow('expected at most 2^53 - 1 bytes, got "9000000T"');
});

test.each([
  ['0', Number.POSITIVE_INFINITY],
  ['none', Number.POSITIVE_INFINITY],
  ['None', Number.POSITIVE_INFINITY],
  ['1M', 1_048_576],
])('the limit %s is %d bytes', (text, bytes) => {
  expect(parseSizeLimit(text)).toBe(bytes);
});

test.each([
  ['10Mbit', 1_250_000],
  ['10mbit/s', 1_250_000],
  ['8kbit', 1000],
  ['1Gbit', 125_000_000],
  ['1000bit', 125],
  ['100MbitPS'.replace('PS', 'ps'), 12_500_000],
  ['2MiB/s', 2_097_152],
  ['2MB', 2_000_000],
  ['4096', 4096],
  ['0', Number.POSITIVE_INFINITY],
  ['none', Number.POSITIVE_INFINITY],
])('the rate %s is %d bytes per second', (text, rate) => {
  expect(parseRateLimit(text)).toBe(rate);
});

test.each([
  ['500ms', 500],
  ['30s', 30_000],
  ['30', 30_000],
  ['1.5s', 1500],
  ['2m', 120_000],
  ['1h', 3_600_000],
  ['1d', 86_400_000],
  ['0', 0],
  ['none', 0],
])('the duration %s is %i ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(['', '-1s', '1 week', '1e3', '10S', '1m30s'])('"%s" is no duration', (text) => {
  expect(() => parseDuration(text)).toThrow(`expected a duration such as 30s, 2m or 500ms, got "${text}"`);
});

test.each([
  [0, '0 B'],
  [1, '1 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [102_348, '99.9 KiB'],
  [102_350, '100 KiB'],
  [1_048_063, '1023 KiB'],
  [1_048_064, '1.0 MiB'],
  [123_731_968, '118 MiB'],
  [3_113_851_904, '2.9 GiB'],
  [2 ** 53, '8.0 PiB'],
])('%i bytes are shown as %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test('a part is shown in the unit of the whole', () => {
  expect(formatPart(1_288_490_188, 3_113_851_904)).toBe('1.2/2.9 GiB');
  expect(formatPart(0, 3_113_851_904)).toBe('0/2.9 GiB');
  expect(formatPart(3, 10)).toBe('3/10 B');
});

test('rates are bytes per second, with the unit said once when it is the same', () => {
  expect(formatRate(123_731_968)).toBe('118 MiB/s');
  expect(formatRates(123_731_968, 2_202_010)).toBe('118 MiB/s down 2.1 up');
  expect(formatRates(123_731_968, 65_536)).toBe('118 MiB/s down 64.0 KiB/s up');
  expect(formatRates(123_731_968, 0)).toBe('118 MiB/s down 0 up');
});

test.each([
  [0.123, '0.12 s'],
  [0.999, '1.0 s'],
  [25.06, '25.1 s'],
  [119.9, '119.9 s'],
  [119.96, '2 m 00 s'],
  [754, '12 m 34 s'],
  [7800, '2 h 10 m'],
])('%d seconds are shown as %s', (seconds, text) => {
  expect(formatSeconds(seconds)).toBe(text);
});

test.each([
  [0, '00:00'],
  [13.2, '00:14'],
  [3723, '1:02:03'],
  [172_800 + 3 * 3600, '2d 03h'],
  [Number.POSITIVE_INFINITY, '--:--'],
  [Number.NaN, '--:--'],
])('%d seconds to go are shown as %s', (seconds, text) => {
  expect(formatEta(seconds)).toBe(text);
});

test('100% is shown when all is there, not before', () => {
  expect(formatPercent(999_999, 1_000_000)).toBe('99%');
  expect(formatPercent(1_000_000, 1_000_000)).toBe('100%');
  expect(formatPercent(0, 0)).toBe('100%');
});
