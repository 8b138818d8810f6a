import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/interop/**/*.test.ts'],
    globalSetup: ['test/helpers/build.ts'],
    // One case at a time in a file, since each has several processes that want a core; but most of them wait most of the time.
    maxWorkers: 3,
    // Longer than the deadline a case gives itself.
    testTimeout: 100_000,
    hookTimeout: 100_000,
  },
});
