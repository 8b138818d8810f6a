// Vitest global setup: tests that start worker threads or the CLI run the compiled files, so these are refreshed first.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export function setup(): void {
  execFileSync(process.execPath, [fileURLToPath(new URL('../../scripts/setup.js', import.meta.url))], {
    stdio: 'inherit',
  });
}
