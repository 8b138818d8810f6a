// Vitest global setup: tests that start worker threads or the CLI run the compiled files, so these are refreshed first. What the
// command remembers goes to a folder of its own, not to the home of whoever runs the tests.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

let state: string | undefined;

export function setup(): void {
  state = mkdtempSync(join(tmpdir(), 'spate-state-'));
  process.env.XDG_STATE_HOME = state;
  execFileSync(process.execPath, [fileURLToPath(new URL('../../scripts/setup.js', import.meta.url))], {
    stdio: 'inherit',
  });
}

export function teardown(): void {
  if (state !== undefined) rmSync(state, { recursive: true, force: true });
}
