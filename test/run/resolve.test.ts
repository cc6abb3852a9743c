import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { resolveExecutable } from '../../src/run/resolve.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jit-resolve-'))
  mkdirSync(join(folder, 'a'))
  mkdirSync(join(folder, 'b'))
  mkdirSync(join(folder, 'a', 'tool'))
  writeFileSync(join(folder, 'b', 'tool'), '', { mode: 0o755 })
  writeFileSync(join(folder, 'a', 'notes'), '', { mode: 0o644 })
  writeFileSync(join(folder, 'here'), '', { mode: 0o755 })
})
afterEach(() => rmSync(folder, { recursive: true }))

const find = (name: string, path: string | undefined = `${folder}/a:${folder}/b`) =>
  resolveExecutable(name, { path, directory: folder })

test('a command is the first executable file of that name on the path', () => {
  expect(find('tool')).toBe(join(folder, 'b', 'tool'))
})

test('a name with a slash is a file, from the working directory on', () => {
  expect(find('./here')).toBe(join(folder, 'here'))
  expect(find('b/tool')).toBe(join(folder, 'b', 'tool'))
})

test('an empty entry of the path is the working directory', () => {
  expect(find('here', `${folder}/a::/nowhere`)).toBe(join(folder, 'here'))
})

test('without a path the system’s own places are searched', () => {
  expect(resolveExecutable('sh', { path: undefined, directory: folder })).toMatch(
    /^\/(usr\/)?bin\/sh$/,
  )
})

test.each(['absent', './absent', 'here/absent', ''])("'%s' is not found", (name) => {
  expect(() => find(name)).toThrow(expect.objectContaining({ code: 'command_not_found' }))
})

test.each(['notes', './a/notes', './a'])("'%s' is not executable", (name) => {
  expect(() => find(name)).toThrow(expect.objectContaining({ code: 'command_not_executable' }))
})
