import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'

const run = (name: string) => resolve(import.meta.dirname, '../../src/run', name)

/** Starts a command that ignores TERM and has moved away from its parents, and ends it. */
const SCRIPT = `
  import { spawn } from 'node:child_process'
  import { once } from 'node:events'
  import { readlinkSync } from 'node:fs'
  import { findProcess, listProcesses } from ${JSON.stringify(run('processes.ts'))}
  import { stopTree } from ${JSON.stringify(run('tree.ts'))}
  const clock = { now: () => Date.now(), monotonic: () => performance.now() }
  const command = "trap '' TERM; setsid sleep 300 & echo up; sleep 300"
  const child = spawn('/bin/sh', ['-c', command], { env: { PATH: process.env.PATH, JIT_GRANT: 'g_nested' } })
  await once(child.stdout, 'data')
  const mine = listProcesses().filter(({ parent }) => parent === process.pid)
  const self = findProcess(process.pid)
  const left = await stopTree({ root: child.pid, grant: 'g_nested', grace: 200, clock })
  const after = listProcesses().filter(({ pid }) => pid !== process.pid)
  console.log(JSON.stringify({
    differs: readlinkSync('/proc/self') !== String(process.pid),
    self: self?.pid === process.pid,
    child: mine.some(({ pid }) => pid === child.pid),
    left,
    after: after.length,
  }))
  process.exit()
`

const UNSHARE = ['--user', '--map-root-user', '--pid', '--fork', '--kill-child']
const possible = spawnSync('unshare', [...UNSHARE, 'true']).status === 0

// As in a sandbox, where /proc belongs to the namespace around it.
test.skipIf(!possible && !process.env.CI)(
  'processes are found and ended by the numbers that kill takes, where /proc has others',
  () => {
    const node = [process.execPath, '--input-type=module', '-e', SCRIPT]
    const { stdout, stderr } = spawnSync('unshare', [...UNSHARE, ...node], { encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toEqual({
      differs: true,
      self: true,
      child: true,
      left: [],
      after: 0,
    })
  },
)
