import { defineConfig } from 'vitest/config';

/** Files with a process of their own: they start sessions and their threads, mock modules or change the environment. */
const OWN = [
  'test/e2e/**/*.test.ts',
  'test/src/{faults,geometry-swarm,hostile,selection,session,session-*}.test.ts',
  'test/src/bench/{client-process,lab,native,rivals}.test.ts',
  'test/src/cli/{bench,bench-compare,main,progress}.test.ts',
  'test/workers/{listen,probe}.test.ts',
];

export default defineConfig({
  test: {
    globalSetup: ['test/helpers/build.ts'],
    // One more than vitest takes of two cores by itself: most tests wait for peers and processes.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    projects: [
      {
        extends: true,
        test: { name: 'own', include: OWN, benchmark: { include: ['bench/**/*.bench.ts'] } },
      },
      {
        extends: true,
        test: {
          name: 'shared',
          include: ['test/**/*.test.ts'],
          exclude: [...OWN, 'test/interop/**'],
          benchmark: { include: [] },
          // A process for each file would load the same modules again and again.
          isolate: false,
        },
      },
    ],
  },
});
