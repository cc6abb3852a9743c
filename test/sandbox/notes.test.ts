import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { noteSandbox } from '../../src/sandbox/notes.ts'
import { temporaryFolder } from '../folder.ts'

/** A repository, with something outside of it. */
function here() {
  const [root, outside] = [temporaryFolder('notes'), temporaryFolder('notes')]
  const gitDir = join(root, '.git')
  mkdirSync(join(gitDir, 'objects/info'), { recursive: true })
  writeFileSync(join(gitDir, 'HEAD'), 'ref: refs/heads/main\n')
  return { root, outside, gitDir, repository: { root, gitDir, commonDir: gitDir } }
}
const noted = ({ root, repository }: ReturnType<typeof here>) =>
  noteSandbox({ folder: join(temporaryFolder('notes'), 'sandbox'), root, repository })

test('what git reads its places from is there while a sandbox is, and gone afterwards', () => {
  const place = here()
  const alternates = join(place.gitDir, 'objects/info/alternates')
  const note = noted(place)
  expect(existsSync(alternates)).toBe(true)
  note.drop()
  expect(existsSync(alternates)).toBe(false)
})

test.each(['objects', 'objects/info', 'info', 'modules'])(
  'nothing is written through a link named %s',
  (name) => {
    const place = here()
    mkdirSync(join(place.outside, 'info'))
    mkdirSync(join(place.outside, 'other'))
    writeFileSync(join(place.outside, 'other/HEAD'), '')
    rmSync(join(place.gitDir, name), { recursive: true, force: true })
    symlinkSync(place.outside, join(place.gitDir, name))
    noted(place)
    expect(readdirSync(place.outside).sort()).toEqual(['info', 'other'])
    expect(readdirSync(join(place.outside, 'info'))).toEqual([])
    expect(readdirSync(join(place.outside, 'other'))).toEqual(['HEAD'])
  },
)
