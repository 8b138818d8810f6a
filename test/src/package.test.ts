import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BUILT, NATIVE_SOURCES } from '../../src/package.js';

test.each(Object.entries(BUILT))('the build has what is started as %s', (_, file) => {
  expect(existsSync(file)).toBe(true);
});

test('the sources have the C programs', () => {
  expect(existsSync(new URL('cseed.c', NATIVE_SOURCES))).toBe(true);
});
