import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/interop/**'],
    benchmark: { include: ['bench/**/*.bench.ts'] },
    globalSetup: ['test/helpers/build.ts'],
    // One more than vitest takes of two cores by itself: most tests wait for peers and processes.
    maxWorkers: '100%',
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
