import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { narrow } from '../../src/context/narrowing.ts'
import { temporaryFolder } from '../folder.ts'
import { write } from './repositories.ts'

const file = (section: string) => `version: 1\nsandbox: ${section}\n`

describe('what a repository takes from its sandboxes', () => {
  it('is nothing where it says nothing', async () => {
    const root = temporaryFolder('narrowing')
    const place = { directory: root, root }
    expect(await narrow(['a.dev'], place)).toEqual({
      hidden: [],
      readOnly: [],
      domains: ['a.dev'],
    })
    write(root, { '.jit.yaml': 'version: 1\nprofiles: {}\n' })
    expect((await narrow(['a.dev'], place)).domains).toEqual(['a.dev'])
  })

  it('is all that any of its files up to the top names: a nearer one gives nothing back', async () => {
    const root = temporaryFolder('narrowing')
    write(root, {
      '.jit.yaml': file('{ hidden: [secrets], domains: [a.dev, b.dev] }'),
      'inner/.jit.yaml': file('{ readonly: [./infra/], domains: [b.dev, c.dev] }'),
    })
    const all = await narrow(['a.dev', 'b.dev', 'c.dev'], { directory: join(root, 'inner'), root })
    expect(all).toEqual({
      hidden: [join(root, 'secrets')],
      readOnly: [join(root, 'inner', 'infra')],
      domains: ['b.dev'],
    })
  })

  it.each([
    [['*.a.dev'], ['x.a.dev'], ['x.a.dev']],
    [['x.a.dev'], ['*.a.dev'], ['x.a.dev']],
    [['*.a.dev'], ['*.x.a.dev'], ['*.x.a.dev']],
    [['*.a.dev:443'], ['x.a.dev'], ['x.a.dev:443']],
    [['a.dev:443'], ['a.dev:8443'], []],
    [['*.a.dev'], ['a.dev'], []],
    [['*.a.dev'], ['xa.dev'], []],
    [['a.dev'], [], []],
    [[], ['a.dev'], []],
  ])('of %j, %j leaves %j: never more than the person named', async (mine, theirs, left) => {
    const root = temporaryFolder('narrowing')
    write(root, { '.jit.yaml': file(JSON.stringify({ domains: theirs })) })
    expect((await narrow(mine, { directory: root, root })).domains).toEqual(left)
  })

  it('is what a link leads to', async () => {
    const root = temporaryFolder('narrowing')
    write(root, { '.jit.yaml': file('{ hidden: [keys] }'), 'data/keys/a': '' })
    symlinkSync('data/keys', join(root, 'keys'))
    const { hidden } = await narrow([], { directory: root, root })
    expect(hidden).toEqual([join(root, 'data/keys')])
  })

  it('stays inside it: a link that leads out is a mistake', async () => {
    const root = temporaryFolder('narrowing')
    write(root, { '.jit.yaml': file('{ hidden: [out] }') })
    symlinkSync('/etc', join(root, 'out'))
    await expect(narrow([], { directory: root, root })).rejects.toMatchObject({
      code: 'profile_invalid',
      message: expect.stringContaining('out leads out of the repository'),
    })
  })

  it('is never left out because it can’t be read', async () => {
    const root = temporaryFolder('narrowing')
    write(root, { '.jit.yaml': file('{ hide: [a] }') })
    await expect(narrow([], { directory: root, root })).rejects.toMatchObject({
      code: 'profile_invalid',
      hint: 'sandbox has hidden, readonly and domains: a repository takes away, and adds nothing',
    })
  })
})
