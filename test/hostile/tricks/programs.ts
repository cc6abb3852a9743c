import { execFileSync } from 'node:child_process'
import { configure, git, ordinary, program, put, putPrograms, type Trick } from '../trick.ts'

const HOOKS = [
  'post-checkout',
  'post-index-change',
  'pre-commit',
  'fsmonitor-watchman',
  'reference-transaction',
]
const NAMES = ['git', 'jit', 'node', 'terraform', 'true', 'sh', 'ls', 'env']

const configured = (name: string, config: (at: string) => string): Trick => ({
  name,
  build(place) {
    ordinary(place)
    putPrograms(place, ['evil.sh'])
    configure(place, config(`${place.root}/evil.sh`))
  },
})

/** What git would run for a repository, and what shells and runtimes would. */
export const PROGRAMS: readonly Trick[] = [
  {
    name: 'hooks of every kind',
    build(place) {
      ordinary(place)
      putPrograms(
        place,
        HOOKS.map((hook) => `.git/hooks/${hook}`),
      )
    },
  },
  configured('a folder of hooks elsewhere', (at) => `[core]\n\thooksPath = ${at}`),
  configured('a file system monitor', (at) => `[core]\n\tfsmonitor = ${at}`),
  configured('a pager and an editor', (at) => `[core]\n\tpager = ${at}\n\teditor = ${at}`),
  configured('an ssh command', (at) => `[core]\n\tsshCommand = ${at}\n\tgitProxy = ${at}`),
  configured('a command for alternate refs', (at) => `[core]\n\talternateRefsCommand = ${at}`),
  configured('aliases', (at) => `[alias]\n\tstatus = !${at}\n\trev-parse = !${at}`),
  configured('a credential helper', (at) => `[credential]\n\thelper = !${at}`),
  configured('a signing program', (at) => `[gpg]\n\tprogram = ${at}\n[log]\n\tshowSignature`),
  configured('a remote helper', (at) => `[remote "origin"]\n\turl = ext::${at}\n\tvcs = evil`),
  configured('an upload pack', (at) => `[remote "origin"]\n\tuploadpack = ${at}`),
  {
    name: 'filters and diff drivers by attributes',
    build(place) {
      ordinary(place)
      putPrograms(place, ['evil.sh'])
      const at = `${place.root}/evil.sh`
      configure(
        place,
        `[filter "evil"]\n\tclean = ${at}\n\tsmudge = ${at}\n\tprocess = ${at}\n\trequired = true\n[diff "evil"]\n\ttextconv = ${at}`,
      )
      put(place, { '.gitattributes': '* filter=evil diff=evil\n', 'README.md': 'touched\n' })
    },
  },
  {
    name: 'programs with the names of common ones, beside it',
    build(place) {
      ordinary(place)
      putPrograms(place, NAMES)
      putPrograms(
        place,
        NAMES.map((name) => `node_modules/.bin/${name}`),
      )
    },
  },
  {
    name: 'start-up files of shells and runtimes',
    build(place) {
      ordinary(place)
      const shell = program(place)
      const script = `require('node:fs').writeFileSync(${JSON.stringify(place.canary)}, '')\n`
      put(place, {
        ...{ '.envrc': shell, '.bashrc': shell, '.profile': shell, '.bash_profile': shell },
        ...{ '.zshrc': shell, '.zshenv': shell, 'config.fish': shell },
        ...{ '.env': `NODE_OPTIONS=--require=${place.root}/evil.cjs\n`, 'evil.cjs': script },
        '.npmrc': `node-options=--require=${place.root}/evil.cjs\n`,
        'node_modules/commander/package.json': '{"name":"commander","main":"index.js"}',
        'node_modules/commander/index.js': script,
        'dist/main.js': script,
      })
    },
  },
  {
    name: 'a package whose scripts and a Makefile whose rules run things',
    build(place) {
      ordinary(place)
      const run = `touch ${place.canary}`
      const scripts = { preinstall: run, deploy: run, 'deploy\u001b[2J': run, 'a;b': run }
      put(place, {
        'package.json': JSON.stringify({ scripts, main: './evil.cjs', type: 'module' }),
        Makefile: `X := $(shell ${run})\ndeploy:\n\t${run}\n`,
      })
    },
  },
  {
    name: 'a submodule with hooks of its own',
    build(place) {
      ordinary(place)
      const inner = { ...place, root: `${place.root}/inner` }
      ordinary(inner)
      putPrograms(
        inner,
        HOOKS.map((hook) => `.git/hooks/${hook}`),
      )
      configure(inner, `[core]\n\tfsmonitor = touch ${place.canary}`)
      put(place, {
        '.gitmodules':
          '[submodule "-x"]\n\tpath = inner\n\turl = --upload-pack=evil\n\tupdate = !evil',
      })
      git(place, 'add', 'inner')
      git(place, 'commit', '-q', '-m', 'inner')
      put(inner, { 'README.md': 'changed\n' })
    },
    within: 'inner',
  },
  {
    name: 'a post-checkout hook behind a template',
    build(place) {
      ordinary(place)
      putPrograms(place, ['template/hooks/post-checkout'])
      configure(place, `[init]\n\ttemplateDir = ${place.root}/template`)
      execFileSync('touch', ['README.md'], { cwd: place.root })
    },
  },
]
