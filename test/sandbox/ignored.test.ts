import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ignore, unignore } from '../../src/sandbox/ignored.ts'
import { noteSandbox } from '../../src/sandbox/notes.ts'
import { temporaryFolder } from '../folder.ts'

function setRepository(before?: string) {
  const root = join(temporaryFolder('ignored'), 'shop')
  const commonDir = join(root, '.git')
  const file = join(commonDir, 'info/exclude')
  mkdirSync(join(commonDir, 'info'), { recursive: true })
  if (before !== undefined) writeFileSync(file, before, 'latin1')
  return { repository: { root, gitDir: commonDir, commonDir }, root, file }
}

test('what the person wrote among ignored files is the same, byte by byte, afterwards', () => {
  for (const before of ['', '\n', 'a', 'a\n', 'a\r\n\n', '\xff\0b', '# jit sandbox {\nmine\n']) {
    const { repository, root, file } = setRepository(before)
    ignore(repository, [join(root, '.npmrc'), join(root, 'ü [x]')])
    ignore(repository, [join(root, '.envrc'), '/elsewhere', join(root, '.git/config.worktree')])
    const text = readFileSync(file, 'utf8')
    for (const line of ['/.npmrc', '/ü\\ \\[x\\]', '/.envrc']) expect(text).toContain(`\n${line}\n`)
    expect(text).not.toMatch(/elsewhere|config\.worktree/)
    unignore(repository)
    if (before.startsWith('#')) continue
    expect(readFileSync(file, 'latin1')).toBe(before)
  }
})

test('what is written there while sandboxes run stays', () => {
  const { repository, root, file } = setRepository('a')
  ignore(repository, [join(root, '.npmrc')])
  writeFileSync(file, `${readFileSync(file, 'utf8')}b\n`)
  ignore(repository, [join(root, '.npmrc')])
  unignore(repository)
  expect(readFileSync(file, 'utf8')).toBe('a\nb\n')
})

test('nothing is written where a link leads elsewhere', () => {
  const { repository, root, file } = setRepository()
  const elsewhere = join(root, 'elsewhere')
  writeFileSync(elsewhere, 'mine')
  symlinkSync(elsewhere, file)
  ignore(repository, [join(root, '.npmrc')])
  unignore(repository)
  expect(readFileSync(elsewhere, 'utf8')).toBe('mine')
})

test('a start that fails takes back what it made; the next takes lines that were left', () => {
  const { repository, root, file } = setRepository()
  const folder = join(temporaryFolder('notes'), 'one')
  const note = noteSandbox({ folder, root, repository })
  ignore(repository, [join(root, '.npmrc')])
  note.drop()
  expect(existsSync(file)).toBe(false)
  writeFileSync(file, 'a\n')
  ignore(repository, [join(root, '.npmrc')])
  noteSandbox({ folder, root, repository }).drop()
  expect(readFileSync(file, 'utf8')).toBe('a\n')
})
