import { spawnSync } from 'node:child_process'

/** What a sandbox is made of. */
export const SANDBOX = ['bwrap', 'socat', 'rg'] as const

/** Those programs that this machine doesn't have. */
export const missing = (...programs: readonly string[]): string[] =>
  programs.filter((name) => spawnSync('which', [name]).status !== 0)

/** Whether tests that need them are skipped: in CI they fail instead. */
export const absent = (...programs: readonly string[]): boolean =>
  !process.env.CI && missing(...programs).length > 0

/** For the title of tests that need a sandbox. */
export const needsSandbox = `needs a sandbox (missing: ${missing(...SANDBOX).join(', ') || 'nothing'})`
