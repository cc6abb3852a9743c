import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // More than there are cores: the tests wait for graces, disks and processes most of the time.
    maxWorkers: 6,
    // Of the tests of one file that wait side by side.
    maxConcurrency: 3,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          environment: 'node',
          // A process for each file costs as much again as its tests.
          isolate: false,
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'e2e',
          globalSetup: ['test/build.ts'],
          include: ['test/**/*.e2e.ts'],
          environment: 'node',
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
