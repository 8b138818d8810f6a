/**
 * The C programs of `bench/native`, built when they are wanted and can be: they come with the sources, not with the package, and
 * need a compiler. Nothing depends on them; they are cheaper than anything else could be, which is what a measurement wants.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { NATIVE_SOURCES } from '../package.js';

export type NativeProgram = 'cseed' | 'csink' | 'cfloor';

/** Either its path, or why there is none. */
export type NativeBuild = { readonly path: string } | { readonly missing: string };

const LIBRARIES: Readonly<Record<NativeProgram, readonly string[]>> = {
  cseed: ['-pthread'],
  csink: [],
  cfloor: ['-lcrypto'],
};

const SOURCES = fileURLToPath(NATIVE_SOURCES);

const COMPILER = 'gcc';

/**
 * Compiles a program into a folder.
 * @throws the signal's reason
 */
export async function buildNative(
  program: NativeProgram,
  folder: string,
  signal?: AbortSignal,
  sources = SOURCES,
): Promise<NativeBuild> {
  signal?.throwIfAborted();
  if (process.platform !== 'linux') return { missing: 'the C programs are for Linux' };
  if (!existsSync(sources)) return { missing: 'the C programs come with the sources of spate, not with its package' };
  const path = join(folder, program);
  const args = ['-O2', '-o', path, join(sources, `${program}.c`), ...LIBRARIES[program]];
  try {
    await promisify(execFile)(COMPILER, args, { signal });
    return { path };
  } catch (error) {
    signal?.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { missing: `${COMPILER} is not installed` };
    const { stderr = '' } = error as { stderr?: string };
    const reason = /error: (.*)|cannot find (.*?):|fatal error: (.*)/.exec(stderr)?.slice(1).find(Boolean);
    return { missing: `${COMPILER} cannot build ${program}: ${reason ?? 'see `make -C bench/native`'}` };
  }
}
