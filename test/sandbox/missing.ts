import { spawnSync } from 'node:child_process'

/** What a sandbox needs and this machine doesn't have. In CI tests fail without it, elsewhere they are skipped. */
export const MISSING = ['bwrap', 'socat', 'rg'].filter(
  (name) => spawnSync('which', [name]).status !== 0,
)
export const SKIPPED = MISSING.length > 0 && !process.env.CI
