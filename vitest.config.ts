import { defineConfig } from 'vitest/config';

/**
 * Files that leave nothing behind in their process that another one would see: no mocked modules, no changed environment, no
 * threads. A process for each would load the same modules again and again.
 */
const SHARED = ['protocol', 'torrent', 'storage', 'swarm', 'discovery'].map(
  (folder) => `test/src/${folder}/**/*.test.ts`,
);

export default defineConfig({
  test: {
    // One more than vitest takes of two cores by itself: most tests wait for peers and processes.
    maxWorkers: '100%',
    testTimeout: 30_000,
    hookTimeout: 30_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'shared',
          include: SHARED,
          isolate: false,
          benchmark: { include: [] },
          // Some of these start the command.
          globalSetup: ['test/helpers/build.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'own',
          include: ['test/**/*.test.ts'],
          exclude: [...SHARED, 'test/interop/**'],
          benchmark: { include: ['bench/**/*.bench.ts'] },
          globalSetup: ['test/helpers/build.ts'],
        },
      },
    ],
  },
});
