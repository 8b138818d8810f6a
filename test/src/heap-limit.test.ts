import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { HEAP_FLAG } from '../../src/heap-limit.js';

// Set while a process runs, a flag that V8 does not know is passed over in silence; on the command line it is refused.
test('this V8 knows the flag', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [HEAP_FLAG, '--print', '6 * 7']);
  expect(stdout).toBe('42\n');
});
