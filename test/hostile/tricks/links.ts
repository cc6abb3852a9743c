import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { configure, git, link, ordinary, type Place, put, type Trick } from '../trick.ts'

/** A part of an ordinary repository that leads outside. */
const leading = (
  name: string,
  target: (place: Place) => string,
  more: Partial<Trick> = {},
): Trick => ({
  name: `a link to outside in the place of ${name}`,
  build(place) {
    ordinary(place)
    link(place, name, target(place))
  },
  ...more,
})
const loot = ({ outside }: Place) => join(outside, 'loot')
const folder = ({ outside }: Place) => outside
const fill = ({ root }: Place, name: string) => execFileSync('mkfifo', [join(root, name)])

const including = (name: string, text: (place: Place) => string): Trick => ({
  name,
  build(place) {
    ordinary(place)
    configure(place, text(place))
  },
})

/** What leads to files that are none of the repository's. */
export const LINKS: readonly Trick[] = [
  leading('.git/HEAD', loot),
  leading('.git/config', loot),
  leading('.git/index', loot),
  leading('.git/packed-refs', loot),
  leading('.git/commondir', loot),
  leading('.git/refs', folder),
  leading('.git/refs/heads', folder),
  leading('.git/refs/heads/main', loot),
  leading('.git/objects', folder),
  leading('.git/objects/pack', folder),
  leading('.git/objects/info', folder),
  leading('.git/objects/info/alternates', loot),
  leading('.jit.yaml', loot),
  leading('package.json', loot),
  leading('Makefile', loot),
  leading('terraform', folder),
  leading('README.md', loot),
  leading('src', folder),
  leading('.git/HEAD', () => '/proc/self/environ', {
    name: 'HEAD is the environment of who reads it',
    forbidden: ['/environ'],
  }),
  leading('.git/config', () => '/dev/zero', {
    name: 'a configuration without an end',
    forbidden: ['/dev/zero'],
  }),
  leading('.git/index', () => '/dev/tty', {
    name: 'an index that is the terminal',
    forbidden: ['/dev/tty'],
  }),
  {
    name: 'links that go in circles',
    build(place) {
      ordinary(place)
      for (const name of ['.git/refs', '.git/objects', '.git/packed-refs', '.jit.yaml', 'loop'])
        link(place, name, name.split('/').at(-1) ?? '')
    },
  },
  {
    name: 'pipes that nobody writes to',
    build(place) {
      ordinary(place)
      execFileSync('rm', [join(place.root, '.git/config'), join(place.root, '.git/index')])
      for (const name of ['.git/config', '.git/index', '.git/packed-refs', '.jit.yaml', 'Makefile'])
        fill(place, name)
    },
  },
  {
    name: 'a tracked file exchanged for a pipe',
    build(place) {
      ordinary(place)
      execFileSync('rm', [join(place.root, 'README.md')])
      fill(place, 'README.md')
    },
  },
  {
    name: 'a .git that points at a folder outside',
    build(place) {
      mkdirSync(place.root)
      put(place, { '.git': `gitdir: ${place.outside}\n` })
    },
  },
  {
    name: 'a .git whose pointer goes on for a megabyte',
    build(place) {
      mkdirSync(place.root)
      put(place, { '.git': `gitdir: ${'../'.repeat(350_000)}${place.outside}\n` })
    },
  },
  {
    name: 'a shared folder that is outside',
    build(place) {
      ordinary(place)
      put(place, { '.git/commondir': `${place.outside}\n` })
    },
  },
  {
    name: 'a ref that climbs out',
    build(place) {
      ordinary(place)
      put(place, { '.git/HEAD': `ref: refs/heads/../../../../outside/loot\n` })
    },
  },
  including(
    'a configuration that includes another',
    ({ outside }) => `[include]\n\tpath = ${outside}/loot`,
  ),
  including(
    'a configuration that includes another on a condition',
    ({ outside }) =>
      `[includeIf "gitdir:/"]\n\tpath = ${outside}/loot\n[includeIf "onbranch:**"]\n\tpath = ~/.ssh/config`,
  ),
  including(
    'a working tree that is elsewhere',
    ({ outside }) => `[core]\n\tworktree = ${outside}\n\tbare = false`,
  ),
  including(
    'files of settings that are elsewhere',
    ({ outside }) =>
      `[core]\n\tattributesFile = ${outside}/loot\n\texcludesFile = ${outside}/loot\n[extensions]\n\tworktreeConfig`,
  ),
  {
    name: 'an index whose paths climb out',
    build(place) {
      ordinary(place)
      const oid = git(place, 'rev-parse', 'HEAD:README.md')
      const listed = git(place, 'ls-files', '-s').split('\n')
      git(place, 'update-index', '--add', '--cacheinfo', `100644,${oid},xx/outside/loot`)
      // Of the same length, so that nothing else of the index changes.
      const path = join(place.root, '.git/index')
      execFileSync('sed', ['-i', 's#xx/outside/loot#../outside/loot#', path])
      if (listed.length === 0) throw new Error('nothing is tracked')
    },
  },
  {
    name: 'a folder of tracked files exchanged for a link, with the same files behind it',
    build(place) {
      ordinary(place)
      put({ ...place, root: place.outside }, { 'main.tf': 'terraform {}\n' })
      link(place, 'src', place.outside)
    },
  },
  {
    name: 'a folder to stand in that is a link',
    build(place) {
      ordinary(place)
      symlinkSync(place.outside, join(place.root, 'in'))
    },
    within: 'in',
  },
]
