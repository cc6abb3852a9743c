import { configDefaults, defineConfig } from 'vitest/config'

const shared = {
  environment: 'node',
  setupFiles: ['test/folder-removal.ts'],
  /** Milliseconds: what is polled for comes at last, on a machine that does much else as well. */
  expect: { poll: { timeout: 15_000 } },
} as const

/** In CI a machine may stand still for seconds: a case has a second try there, and is named when it took it. */
const retry = process.env.CI ? 1 : 0
/** Of the faults, what was late or told otherwise; never one that found what must not be (`toEqual`). */
const retryOfFaults = { count: retry, condition: /^(?!.*deeply equal)/s }

export default defineConfig({
  test: {
    // The second has nothing to say but in CI.
    reporters: ['default', './test/flaky-reporter.ts'],
    // More than there are cores: the tests wait for graces, disks and processes most of the time.
    maxWorkers: 6,
    // Of the tests of one file that wait side by side.
    maxConcurrency: 3,
    projects: [
      {
        test: {
          name: 'unit',
          retry,
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, 'test/cluster/**'],
          ...shared,
          // A process for each file costs as much again as its tests.
          isolate: false,
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'postgres',
          retry,
          globalSetup: ['test/servers/store-server.ts'],
          include: ['test/broker/**/*.test.ts', 'test/cluster/**/*.test.ts'],
          ...shared,
          isolate: false,
          testTimeout: 90_000,
          hookTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'e2e',
          retry,
          globalSetup: ['test/build.ts'],
          include: ['test/**/*.e2e.ts'],
          ...shared,
          isolate: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'faults',
          retry: retryOfFaults,
          globalSetup: ['test/build.ts', 'test/servers/store-server.ts'],
          include: ['test/faults/*.fault.ts'],
          ...shared,
          // With `--runs` a case takes as long as it is told to.
          testTimeout: 0,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'hostile',
          globalSetup: ['test/build.ts'],
          include: ['test/**/*.hostile.ts'],
          ...shared,
          testTimeout: 180_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'fuzz',
          include: ['test/**/*.fuzz.ts'],
          ...shared,
          // As long as `--runs` wants; what never ends is ended by test/fuzz/property.ts.
          testTimeout: 0,
        },
      },
    ],
  },
})
