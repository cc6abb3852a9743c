import { appendFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Cover } from '../../src/sandbox/cover.ts'
import { temporaryFolder } from '../folder.ts'

test('what is replaced outside is told once; what is only written is not', () => {
  const folder = temporaryFolder('cover')
  const [config, hooks, envrc, absent, kept] = ['config', 'hooks', '.envrc', 'absent', 'kept'].map(
    (name) => join(folder, name),
  ) as [string, string, string, string, string]
  mkdirSync(hooks)
  for (const file of [config, envrc, kept]) writeFileSync(file, 'before')
  using cover = new Cover([config, hooks, envrc, absent, kept])
  appendFileSync(kept, 'more')
  writeFileSync(join(hooks, 'new'), '')
  writeFileSync(absent, '')
  cover.look()
  const told: string[] = []
  writeFileSync(`${config}.lock`, 'after')
  renameSync(`${config}.lock`, config)
  cover.look()
  cover.listen((path) => told.push(path))
  rmSync(envrc)
  writeFileSync(envrc, 'before')
  cover.look()
  cover.look()
  expect(told).toEqual([config, envrc])
})
