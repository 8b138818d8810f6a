// Tests over ::1. A machine without IPv6 says so with SPATE_TEST_IPV6=0 and skips them; where it does not, a missing ::1 fails
// them, so that they cannot fall silent.
import net from 'node:net';
import { it } from 'vitest';

const isDenied = process.env.SPATE_TEST_IPV6 === '0';

/** As `it`, for a test that needs ::1. */
export function itWithIpv6(name: string, test: () => Promise<void>): void {
  it.skipIf(isDenied)(name, async () => {
    await assertLoopback();
    await test();
  });
}

function assertLoopback(): Promise<void> {
  const server = net.createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(new Error(`this test needs ::1 (${error.message}); set SPATE_TEST_IPV6=0 on a machine without IPv6`)),
    );
    server.listen(0, '::1', () => server.close(() => resolve()));
  });
}

/** Runs `open` with ports until it has one that is free over both families. @returns both results */
export async function onBothLoopbacks<T extends { readonly port: number; close(): Promise<void> }>(
  open: (host: '127.0.0.1' | '::1', port: number) => Promise<T>,
): Promise<readonly [four: T, six: T]> {
  for (let attempt = 1; ; attempt++) {
    let four: T | undefined;
    try {
      four = await open('127.0.0.1', 0);
      return [four, await open('::1', four.port)];
    } catch (error) {
      await four?.close();
      if (attempt === 10) throw error;
    }
  }
}
