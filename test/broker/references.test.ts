import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { resolveReference } from '../../src/broker/references.ts'

let directory: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'jit-references-'))
  await writeFile(join(directory, 'secret'), 'two\nlines\n\n', { mode: 0o600 })
  await writeFile(join(directory, 'empty'), '\n', { mode: 0o600 })
})
afterAll(() => rm(directory, { recursive: true }))

const read = (reference: string) =>
  resolveReference(reference, { env: { SET: 'v', NO: '' }, directory })

test('a variable and a file are read, one last newline left out', () => {
  expect(read('env:SET')).toBe('v')
  expect(read('file:secret')).toBe('two\nlines\n')
  expect(read(`file:${directory}/secret`)).toBe('two\nlines\n')
})

test.each([
  ['env:UNSET', 'env:UNSET: the variable is not set'],
  ['env:NO', 'env:NO: the variable is not set'],
  ['file:none', 'cannot be read (ENOENT)'],
  ['file:.', 'cannot be read (EISDIR)'],
  ['file:empty', 'the file is empty'],
  ['hunter2', 'expected a reference: env:NAME or file:PATH'],
])('%s is refused', (reference, message) => {
  expect(() => read(reference)).toThrow(
    expect.objectContaining({ code: 'config_invalid', message: expect.stringContaining(message) }),
  )
})

test('a file that others may write is refused', async () => {
  await writeFile(join(directory, 'shared'), 'x')
  await chmod(join(directory, 'shared'), 0o620)
  expect(() => read('file:shared')).toThrow('others may write to it')
})
