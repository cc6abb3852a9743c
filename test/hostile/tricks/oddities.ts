import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { configure, git, ordinary, type Place, put, type Trick } from '../trick.ts'

const ESCAPES = '\u001b]0;owned\u0007\u001b[2J\u001b[31m\u202e\u200b'
const ID = '1234567890'.repeat(4)

const profiles = (
  name: string,
  text: string | ((place: Place) => string),
  trustable = false,
): Trick => ({
  name,
  trustable,
  build(place) {
    ordinary(place)
    put(place, { '.jit.yaml': typeof text === 'string' ? text : text(place) })
  },
})
const head = (name: string, content: string): Trick => ({
  name,
  build(place) {
    ordinary(place)
    put(place, { '.git/HEAD': content })
  },
})

/** Names, refs and sizes that nobody has, and profiles that ask for too much. */
export const ODDITIES: readonly Trick[] = [
  head('a branch with escape sequences', `ref: refs/heads/${ESCAPES}\n`),
  head('a branch that a shell would run', 'ref: refs/heads/$(touch\u00a0canary);`touch\u00a0x`\n'),
  head('a branch that reads like an option', 'ref: refs/heads/--upload-pack=evil\n'),
  head('a HEAD that is no ref and no commit', `${'\0'.repeat(100)}${ESCAPES}`),
  head('a HEAD that refers to itself', 'ref: HEAD\n'),
  {
    name: 'refs that refer to each other',
    build(place) {
      ordinary(place)
      put(place, {
        '.git/refs/heads/main': 'ref: refs/heads/b\n',
        '.git/refs/heads/b': 'ref: refs/heads/main\n',
      })
    },
  },
  {
    name: 'a branch as long as may be, many folders down',
    build(place) {
      ordinary(place)
      const name = `refs/heads/${'a/'.repeat(240)}b`
      put(place, {
        '.git/HEAD': `ref: ${name}\n`,
        [`.git/${name}`]: `${git(place, 'rev-parse', 'HEAD')}\n`,
      })
    },
  },
  {
    name: 'two hundred thousand packed refs',
    build(place) {
      ordinary(place)
      const refs = Array.from({ length: 200_000 }, (_, i) => `${ID} refs/heads/${i}\n`)
      put(place, { '.git/packed-refs': refs.join(''), '.git/HEAD': 'ref: refs/heads/199999\n' })
    },
  },
  {
    name: 'a ref of a hundred megabytes',
    build(place) {
      ordinary(place)
      truncateSync(join(place.root, '.git/refs/heads/main'), 100e6)
      put(place, { '.git/packed-refs': '' })
      truncateSync(join(place.root, '.git/packed-refs'), 2e9)
    },
  },
  {
    name: 'a remote with credentials and escape sequences',
    build(place) {
      ordinary(place)
      configure(place, `[remote "origin"]\n\turl = https://u:hunter2@example.com/${ESCAPES}/x.git`)
    },
  },
  {
    name: 'a configuration of one line without an end',
    build(place) {
      ordinary(place)
      configure(place, `[a${' '.repeat(900_000)}`)
    },
  },
  {
    name: 'a configuration of a hundred thousand continued lines',
    build(place) {
      ordinary(place)
      configure(place, `[a]\nk = ${'x\\\n'.repeat(250_000)}`)
    },
  },
  {
    name: 'a pack whose index says there is no end to it',
    build(place) {
      ordinary(place)
      git(place, 'repack', '-adq')
      const folder = join(place.root, '.git/objects/pack')
      const name = readdirSync(folder).find((file) => file.endsWith('.idx')) ?? ''
      const path = join(folder, name)
      execFileSync('chmod', ['u+w', path])
      // Its fan-out, from the first byte of this commit's id on.
      const first = Number.parseInt(git(place, 'rev-parse', 'HEAD').slice(0, 2), 16)
      writeFileSync(path, readFileSync(path).fill(0xff, 8 + first * 4, 8 + 1024))
    },
  },
  {
    name: 'a commit that is a bomb',
    build(place) {
      ordinary(place)
      const id = git(place, 'rev-parse', 'HEAD')
      const path = join(place.root, '.git/objects', id.slice(0, 2), id.slice(2))
      const bomb = `import zlib,sys; sys.stdout.buffer.write(zlib.compress(b"commit 1000000000\\0tree " + b"0"*300000000))`
      const bytes = execFileSync('python3', ['-c', bomb], { maxBuffer: 10_000_000 })
      execFileSync('chmod', ['u+w', path])
      writeFileSync(path, bytes)
    },
  },
  {
    name: 'files whose names are escape sequences',
    build(place) {
      ordinary(place)
      put(place, { [`${ESCAPES}.tf`]: '', '-rf': '', 'a\nb': '', [`${ESCAPES}/x`]: '' })
      git(place, 'add', '-A')
    },
  },
  {
    name: 'a folder whose name is escape sequences',
    build(place) {
      ordinary(place)
      mkdirSync(join(place.root, ESCAPES))
      put(place, {
        [`${ESCAPES}/.jit.yaml`]:
          'version: 1\nprofiles: { deploy: { environment: dev, task: deploy } }\n',
      })
    },
    within: ESCAPES,
    trustable: true,
  },
  {
    name: 'a bare repository',
    build(place) {
      mkdirSync(place.root)
      git(place, 'init', '-q', '--bare')
    },
  },
  {
    name: 'a bare repository inside of an ordinary one, with a monitor',
    build(place) {
      ordinary(place)
      mkdirSync(join(place.root, 'sub'))
      git({ root: join(place.root, 'sub') }, 'init', '-q', '--bare')
      put(place, {
        'sub/config': `[core]\n\tfsmonitor = touch ${place.canary}\n\tbare = false\n\tworktree = .\n`,
      })
    },
    within: 'sub',
  },
  profiles(
    'a .jit.yaml that names a broker and an issuer',
    'version: 1\nbroker: https://evil.example\nissuer: https://evil.example\nprofiles: { deploy: { environment: dev, task: deploy } }\n',
  ),
  profiles(
    'a .jit.yaml that sets variables and runs a command',
    ({ canary }) =>
      `version: 1\nprofiles: { deploy: { environment: dev, task: deploy, env: { PATH: "." }, command: "touch ${canary}" } }\n`,
  ),
  profiles(
    'a .jit.yaml that asks for everything, for ever',
    'version: 1\nprofiles: { deploy: { environment: "*", task: "*", targets: ["*"], ttl: 9999d } }\n',
  ),
  profiles(
    'a .jit.yaml that opens the sandbox',
    'version: 1\nsandbox: { writable: [/], hidden: [../../etc], domains: ["*"] }\n',
  ),
  profiles(
    'a .jit.yaml of a billion laughs',
    `version: 1\nprofiles: &a { x: [*a, *a] }\n${'b: &b [*b,*b]\n'.repeat(100)}`,
  ),
  profiles('a .jit.yaml of brackets', `version: 1\nprofiles: ${'['.repeat(60_000)}`),
  profiles('a .jit.yaml of ten megabytes', `version: 1\n${'#'.repeat(10_000_000)}\n`),
  profiles(
    'a .jit.yaml with keys that objects have',
    'version: 1\nprofiles: { __proto__: { environment: dev, task: deploy } }\n',
  ),
  profiles(
    'a .jit.yaml with types of its own',
    ({ canary }) =>
      `version: 1\nprofiles: !!python/object/apply:os.system ["touch ${canary}"]\nx: !!js/function "function(){}"\n`,
  ),
  profiles(
    'a reason with escape sequences',
    `version: 1\nprofiles: { deploy: { environment: dev, task: deploy, reason: ${JSON.stringify(ESCAPES)}, commands: [${JSON.stringify(`terraform ${ESCAPES}`)}] } }\n`,
    true,
  ),
  profiles(
    'a profile for every command',
    ({ canary }) =>
      `version: 1\nprofiles:\n  deploy: { environment: dev, task: deploy, commands: ["*"], reason: "$(touch ${canary})" }\n  "exec": { environment: dev, task: deploy, commands: ["*", "touch ${canary}"] }\n`,
    true,
  ),
]
