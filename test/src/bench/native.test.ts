import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { buildNative } from '../../../src/bench/native.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

afterEach(() => vi.unstubAllEnvs());

/** A folder that is the whole PATH, with a compiler that does this, or with none. */
async function pathWith(script?: string): Promise<void> {
  const folder = await temporaryFolder();
  if (script !== undefined) {
    writeFileSync(join(folder, 'gcc'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, 'gcc'), 0o755);
  }
  vi.stubEnv('PATH', folder);
}

test('a program is compiled from its source, with its libraries', async () => {
  await pathWith('echo "$@" > "$3"');
  const folder = await temporaryFolder();
  const built = await buildNative('cfloor', folder);
  expect(built).toEqual({ path: join(folder, 'cfloor') });
  expect(readFileSync(join(folder, 'cfloor'), 'utf8')).toMatch(
    /^-O2 -o \S+\/cfloor \S+\/bench\/native\/cfloor\.c -lcrypto\n$/,
  );
});

test('without a compiler, without the sources and without a library it says what is missing', async () => {
  const folder = await temporaryFolder();
  await pathWith();
  expect(await buildNative('cseed', folder)).toEqual({ missing: 'gcc is not installed' });
  expect(await buildNative('cseed', folder, undefined, undefined)).toEqual({ missing: 'gcc is not installed' });
  await pathWith('echo "x.c:1:10: fatal error: openssl/evp.h: No such file or directory" >&2; exit 1');
  expect(await buildNative('cfloor', folder)).toEqual({
    missing: 'gcc cannot build cfloor: openssl/evp.h: No such file or directory',
  });
  await pathWith('exit 1');
  expect(await buildNative('cfloor', folder)).toEqual({
    missing: 'gcc cannot build cfloor: see `make -C bench/native`',
  });
});

test('an abort ends the build', async () => {
  await pathWith('exec /bin/sleep 1000');
  const folder = await temporaryFolder();
  const controller = new AbortController();
  const building = buildNative('cseed', folder, controller.signal);
  controller.abort(new Error('enough'));
  await expect(building).rejects.toThrow('enough');
  expect(readdirSync(folder)).toEqual([]);
});
