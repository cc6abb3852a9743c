import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { spawn as spawnPty } from '@lydell/node-pty'
import { describe, expect, test } from 'vitest'
import { absent, needsSandbox, SANDBOX } from '../absent.ts'
import { PROFILE, results, setStage, supervise, supervisor } from './stage.ts'

/** Prints what became of an attempt. */
const TRY = `
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name: done"; else echo "$name: refused"; fi; }
make() { mkdir -p "$(dirname "$1")" && echo planted >"$1"; }
`

describe.skipIf(absent(...SANDBOX))(needsSandbox, { concurrent: true }, () => {
  test('files: the repository can be written, what runs programs in it and the home can not', async () => {
    const stage = setStage()
    const { home, repository } = stage
    mkdirSync(join(repository, '.github/workflows'), { recursive: true })
    writeFileSync(join(repository, '.github/workflows/ci.yml'), 'on: push')
    writeFileSync(join(repository, 'README'), 'shop')
    mkdirSync(join(repository, 'packages/web/.vscode'), { recursive: true })
    writeFileSync(join(repository, 'packages/web/.vscode/tasks.json'), '{}')
    mkdirSync(join(repository, '.githooks'))
    symlinkSync(join(home, '.ssh'), join(repository, 'ssh'))
    symlinkSync('/etc', join(repository, 'etc'))
    writeFileSync(join(home, 'other.txt'), 'SECRET')
    mkdirSync(join(home, 'notes'))
    writeFileSync(join(home, 'notes/a'), 'note')
    const planted = [
      '.git/hooks/pre-commit',
      '.git/config',
      '.git/config.worktree',
      '.git/commondir',
      '.git/objects/info/alternates',
      '.jit.yaml',
      '.github/workflows/ci.yml',
      '.github/workflows/new.yml',
      '.gitlab-ci.yml',
      '.circleci/config.yml',
      'Jenkinsfile',
      'azure-pipelines.yml',
      'bitbucket-pipelines.yml',
      '.buildkite/pipeline.yml',
      '.vscode/tasks.json',
      '.idea/x',
      '.devcontainer/devcontainer.json',
      '.envrc',
      '.mise.toml',
      '.npmrc',
      '.bashrc',
      '.zshenv',
      '.claude/settings.json',
      '.claude/settings.local.json',
      '.mcp.json',
      'packages/web/.vscode/tasks.json',
      '.githooks/pre-push',
      'kept/file',
      'ssh/authorized_keys',
      'etc/profile.d/x.sh',
    ]
    const hidden = [
      '.ssh/id_ed25519',
      '.aws/credentials',
      '.config/gh/hosts.yml',
      '.config/jit/config.yaml',
      '.local/share/jit/keystore',
      '.netrc',
      '.npmrc',
      '.claude/.credentials.json',
      '.codex/auth.json',
      '.bash_history',
      'other.txt',
    ]
    mkdirSync(join(repository, 'kept'))
    writeFileSync(join(repository, '.env'), 'SECRET')
    mkdirSync(join(repository, 'private'))
    writeFileSync(join(repository, 'private/key'), 'SECRET')
    const script = [
      TRY,
      ...planted.map((path) => `try "plant ${path.replaceAll(/[./]/g, '_')}" make ${path}`),
      ...hidden.map((path) => `try "read ${path.replaceAll(/[./]/g, '_')}" cat ~/${path}`),
      'echo "private: $(cat .env private/* 2>/dev/null)"',
      'try "move private" mv private public',
      'try "move git" mv .git .git2',
      'try "move objects" mv .git/objects .git/objects2',
      'try "move workflows" mv .github .gh',
      'try "write repository" make src/new.ts',
      'try "add all" git add -A',
      'echo "warnings: $(git gc --quiet 2>&1)"',
      'try "commit" git -c user.name=a -c user.email=a@b.c commit -q -m x',
      'echo "committed: $(git ls-files | tr "\\n" " ")"',
      'try "read link" ls ssh/',
      'try "write system" touch /usr/bin/x',
      'try "write etc" touch /etc/x',
      'try "read shadow" cat /etc/shadow',
      'try "read notes" cat ~/notes/a',
      'try "write notes" make ~/notes/b',
      'try "list docker" ls /var/run/docker.sock /run/dbus /var/lib/postgresql',
      'try "use tmp" make /tmp/x',
      'try "use home" make ~/.cache/x',
      'echo "home: $(ls -A ~ | tr "\\n" " ")"',
      'echo "tmp: $(ls -A /tmp /run | grep -c jit-)"',
      'try "nested mounts" unshare -Urm true',
      'try "remount" mount -o remount,rw /usr',
      'try "unmount" umount .git/config',
    ].join('\n')
    const { output } = await supervise(stage, script, {
      repository: {
        root: repository,
        gitDir: `${repository}/.git`,
        commonDir: `${repository}/.git`,
        hooksPath: '.githooks',
      },
      profile: {
        readable: [join(home, 'notes')],
        writable: [],
        hidden: [join(repository, '.env'), join(repository, 'private')],
        readOnly: ['kept'],
        environment: [],
      },
    }).done
    const { home: listed, tmp, private: own, committed, warnings, ...tried } = results(output)
    const done = Object.keys(tried)
      .filter((name) => tried[name] === 'done')
      .sort()
    expect(done).toEqual([
      'add all',
      'commit',
      'read notes',
      'use home',
      'use tmp',
      'write repository',
    ])
    expect(Object.keys(tried)).toHaveLength(planted.length + hidden.length + 19)
    expect(
      listed
        ?.trim()
        .split(' ')
        .filter((name) => !['.cache', 'notes', 'shop'].includes(name)),
    ).toEqual([])
    expect(own).toBe('')
    expect(warnings).not.toContain('alternates')
    expect(committed).toBe(
      '.github/workflows/ci.yml README etc packages/web/.vscode/tasks.json src/new.ts ssh ',
    )
    // The way to the repository alone.
    expect(tmp).toBe('1')
    // Outside, the repository holds what was written, and nothing that was mounted on.
    expect(readFileSync(join(repository, 'src/new.ts'), 'utf8')).toBe('planted\n')
    expect(readdirSync(repository).sort()).toEqual([
      '.env',
      '.git',
      '.githooks',
      '.github',
      'README',
      'etc',
      'kept',
      'packages',
      'private',
      'src',
      'ssh',
    ])
    expect(existsSync(join(home, '.cache'))).toBe(false)
    expect(existsSync(stage.runtime)).toBe(false)
  })

  test('network: the link, the routes and nothing else', async () => {
    const stage = setStage()
    const upstream = createServer((request, response) => response.end(`upstream ${request.url}\n`))
    const socket = join(stage.home, 'upstream.sock')
    await new Promise<void>((listening) => upstream.listen(socket, listening))
    const open = createServer((_, response) => response.end('open'))
    await new Promise<void>((listening) => open.listen(0, '127.0.0.1', listening))
    const { port } = open.address() as { port: number }
    const get = (name: string, ...args: string[]) =>
      `echo "${name}: $(curl -sS -m 5 -o /dev/null -w '%{http_code}' ${args.join(' ')} 2>/dev/null)"`
    const running = supervise(
      stage,
      [
        'echo "link: $(curl -sS http://127.0.0.1:7421/v1/x)"',
        get('allowed', 'http://allowed.example.invalid/'),
        get('allowed port', 'http://ported.example.invalid:81/'),
        get('other', 'http://other.example.com/'),
        get('broker', 'http://broker.example.com:443/'),
        get('address', 'http://192.0.2.1/'),
        get('metadata', 'http://169.254.169.254/'),
        get('decimal', 'http://2852039166/'),
        get('google', 'http://metadata.google.internal/'),
        get('loopback', '--noproxy ""', `-x "$HTTP_PROXY"`, `http://127.0.0.1:${port}/`),
        get('localhost', '--noproxy ""', `-x "$HTTP_PROXY"`, `http://localhost:${port}/`),
        get('direct loopback', `--noproxy "*"`, `http://127.0.0.1:${port}/`),
        get('no token', '-x http://127.0.0.1:3128', 'http://other.example.com/'),
        get('tunnel', '-p', 'https://other.example.com/'),
        'echo "unix: $(/usr/bin/python3 -c "import socket; socket.socket(socket.AF_UNIX)" 2>&1 | tail -1)"',
        'echo "interfaces: $(cat /proc/net/dev | tail -n +3 | cut -d: -f1 | xargs)"',
        'echo "proxy variables: $(env | grep -c JIT_ENTRY)"',
        get('not yet', 'http://routed.example.com/'),
        'echo ready',
        'until curl -sS -f http://routed.example.com/y 2>/dev/null; do sleep 0.05; done',
        get('routed', 'http://routed.example.com/z'),
      ].join('\n'),
      {
        domains: [
          'allowed.example.invalid',
          'ported.example.invalid:80',
          'broker.example.com',
          'metadata.google.internal',
        ],
      },
    )
    await running.shows('ready')
    running.process.send({ route: [['routed.example.com', socket]] })
    const { output, refused } = await running.done
    upstream.close()
    open.close()
    expect(results(output)).toMatchObject({
      link: 'link /v1/x',
      // It may be reached; there is no such name.
      allowed: '502',
      'allowed port': '403',
      other: '403',
      broker: '403',
      address: '403',
      metadata: '403',
      decimal: '403',
      google: '403',
      loopback: '403',
      localhost: '403',
      'direct loopback': '000',
      'no token': '407',
      tunnel: '000',
      unix: expect.stringContaining('not permitted'),
      interfaces: 'lo',
      'proxy variables': '0',
      'not yet': '403',
      routed: '200',
    })
    expect(output).toContain('upstream http://routed.example.com/y')
    expect(refused).toContainEqual({ host: '169.254.169.254', port: 80 })
    expect(refused).toContainEqual({ host: 'other.example.com', port: 443 })
    expect(refused).toContainEqual({ host: 'broker.example.com', port: 443 })
    expect(
      refused.filter(({ host, port }) => host === 'routed.example.com' && port === 80),
    ).toHaveLength(1)
  })

  test('environment and processes: an allow list, and a world of its own', async () => {
    const stage = setStage()
    const { output, leftOut, outcome } = await supervise(
      stage,
      [
        'echo "environment: $(env | cut -d= -f1 | sort | xargs)"',
        'echo "processes: $(ls /proc | grep -c "^[0-9]")"',
        'echo "core: $(ulimit -c)"',
        'echo "first: $(tr "\\0" " " </proc/1/cmdline | cut -c1-40)"',
        'exit 7',
      ].join('\n'),
      {
        environment: {
          PATH: process.env.PATH,
          HOME: stage.home,
          LC_ALL: 'C',
          MY_SETTING: '1',
          KEPT: '2',
          AWS_SECRET_ACCESS_KEY: 'x',
          GITHUB_TOKEN: 'x',
          SSH_AUTH_SOCK: '/x',
          DBUS_SESSION_BUS_ADDRESS: 'x',
          JIT_BROKER: 'x',
        },
        profile: {
          readable: [],
          writable: [],
          hidden: [],
          readOnly: [],
          environment: ['KEPT', 'SSH_AUTH_SOCK', 'JIT_BROKER'],
        },
      },
    ).done
    expect(outcome).toEqual({ code: 7, signal: null })
    expect(leftOut).toEqual([
      'AWS_SECRET_ACCESS_KEY',
      'DBUS_SESSION_BUS_ADDRESS',
      'GITHUB_TOKEN',
      'JIT_BROKER',
      'MY_SETTING',
      'SSH_AUTH_SOCK',
    ])
    const { environment = '', processes, core } = results(output)
    expect(environment.split(' ')).toEqual(
      expect.arrayContaining(['HOME', 'JIT_SANDBOX', 'KEPT', 'LC_ALL', 'PATH']),
    )
    expect(environment).not.toMatch(/AWS|TOKEN|SSH_|DBUS|JIT_BROKER|JIT_ENTRY|MY_SETTING/)
    // bubblewrap's first, the helper, the two relays, the command and what it starts.
    expect(Number(processes)).toBeLessThan(12)
    expect(core).toBe('0')
  })

  test('signals reach the command, and how it ended comes out', async () => {
    const outcomes = await Promise.all(
      [
        [
          'trap "echo winch" WINCH; trap "echo hup; exit 3" HUP; echo ready; while :; do sleep 0.05; done',
          'SIGWINCH',
          'SIGHUP',
        ],
        ['echo ready; exec sleep 60', 'SIGTERM'],
        ['echo ready; sleep 60', 'SIGINT'],
        ['echo ready; kill -KILL $$'],
      ].map(async ([script = '', ...signals]) => {
        const running = supervise(setStage(), script)
        await Promise.all([running.started, running.shows('ready')])
        for (const [at, signal] of signals.entries()) {
          running.process.send({ signal })
          if (at < signals.length - 1) await running.shows('winch')
        }
        return (await running.done).outcome
      }),
    )
    expect(outcomes).toEqual([
      { code: 3, signal: null },
      { code: null, signal: 'SIGTERM' },
      { code: null, signal: 'SIGINT' },
      { code: null, signal: 'SIGKILL' },
    ])
  })

  test('a supervisor that is stopped, or killed, leaves no process and no file', async () => {
    await Promise.all(
      (['stop', 'kill'] as const).map(async (how) => {
        const stage = setStage()
        const mark = `9${String(process.pid)}.${how === 'stop' ? 1 : 2}`
        const running = supervise(
          stage,
          `trap "" TERM HUP INT; setsid sleep ${mark} & (setsid sleep ${mark} &) ; echo ready; sleep ${mark}`,
        )
        await Promise.all([running.started, running.shows('ready')])
        expect(existsSync(join(stage.repository, '.jit.yaml'))).toBe(true)
        expect(alive(mark, stage.runtime)).not.toEqual([])
        if (how === 'stop') running.process.send({ stop: true })
        else running.process.kill('SIGKILL')
        const until = Date.now() + 2000
        const left = () => [
          ...alive(mark, stage.runtime),
          ...readdirSync(stage.repository).filter((name) => name !== '.git'),
          ...(existsSync(stage.runtime) ? [stage.runtime] : []),
        ]
        while (left().length > 0 && Date.now() < until) await delay(20)
        expect(left()).toEqual([])
      }),
    )
  })

  test('git lists nothing that a sandbox is mounted on, inside or outside, and ignores no more afterwards', async () => {
    const written = ['build\n', 'build', '', undefined]
    await Promise.all(
      written.map(async (before, index) => {
        const stage = setStage()
        const { repository } = stage
        const exclude = join(repository, '.git/info/exclude')
        const status = () =>
          spawnSync('git', ['-C', repository, 'status', '--porcelain'], { encoding: 'utf8' }).stdout
        rmSync(join(repository, '.git/info'), { recursive: true, force: true })
        if (before !== undefined) {
          mkdirSync(join(repository, '.git/info'))
          writeFileSync(exclude, before)
        }
        writeFileSync(join(repository, '.envrc'), 'mine')
        const script = [
          TRY,
          'git status --porcelain',
          'try exclude make .git/info/exclude',
          'echo ready',
          'until [ -e build ]; do sleep 0.02; done',
        ].join('\n')
        const profile = { ...PROFILE, readOnly: ['odd [name]#', 'packages/new'] }
        const runtime = (name: string) => ({ ...stage, runtime: join(stage.runtime, name) })
        const start = async (name: string) => {
          const one = supervise(runtime(name), script, { profile })
          await one.shows('ready')
          return one
        }
        const first = await start('first')
        const second = await start('second')
        for (const { output } of [first, second]) {
          expect(output()).toBe('?? .envrc\nexclude: refused\nready\n')
        }
        expect(status()).toBe('?? .envrc\n')
        first.process.kill('SIGKILL')
        await first.done
        expect(status()).toBe('?? .envrc\n')
        if (index === 0) appendFileSync(exclude, 'added')
        if (index % 2 === 0) second.process.kill('SIGKILL')
        else writeFileSync(join(repository, 'build'), '')
        await second.done
        const until = Date.now() + 2000
        while (existsSync(join(stage.runtime, 'mounted')) && Date.now() < until) await delay(20)
        expect(existsSync(exclude) ? readFileSync(exclude, 'utf8') : undefined).toBe(
          index === 0 ? 'build\nadded' : before,
        )
        expect(readdirSync(repository).filter((name) => name !== 'build')).toEqual([
          '.envrc',
          '.git',
        ])
      }),
    )
  })

  test('what git outside replaces, and can be written inside from then on, is told', async () => {
    const stage = setStage()
    const running = supervise(
      stage,
      `${TRY} try before make .git/config; echo ready; until [ -e go ]; do sleep 0.02; done; try after make .git/config`,
    )
    await Promise.all([running.started, running.shows('ready')])
    spawnSync('git', ['-C', stage.repository, 'config', 'branch.main.remote', 'origin'])
    writeFileSync(join(stage.repository, 'go'), '')
    const { output, uncovered } = await running.done
    expect(results(output)).toEqual({ before: 'refused', after: 'done' })
    expect(uncovered).toEqual([join(stage.repository, '.git/config')])
  })

  test('of two sandboxes in a repository, one that ends uncovers nothing in the other', async () => {
    const stage = setStage()
    const runtime = (name: string) => ({ ...stage, runtime: join(stage.runtime, name) })
    const first = supervise(runtime('first'), 'echo ready; sleep 60')
    await Promise.all([first.started, first.shows('ready')])
    const second = supervise(
      runtime('second'),
      `${TRY} echo ready; until [ -e go ]; do sleep 0.02; done; try plant make .envrc; try direct make .git/commondir`,
    )
    await Promise.all([second.started, second.shows('ready')])
    first.process.send({ stop: true })
    await first.done
    writeFileSync(join(stage.repository, 'go'), '')
    expect(results((await second.done).output)).toEqual({ plant: 'refused', direct: 'refused' })
    expect(readdirSync(stage.repository).sort()).toEqual(['.git', 'go'])
    expect(existsSync(join(stage.repository, '.git/commondir'))).toBe(false)
  })

  test('a linked worktree is worked in, and the repository behind it stays as it was', async () => {
    const stage = setStage()
    const git = (...args: string[]) =>
      spawnSync('git', [
        '-C',
        stage.repository,
        '-c',
        'user.name=a',
        '-c',
        'user.email=a@b.c',
        ...args,
      ])
    git('commit', '-q', '--allow-empty', '-m', 'first')
    git('worktree', 'add', '-q', '../linked')
    const root = join(stage.home, 'linked')
    const common = join(stage.repository, '.git')
    const { output } = await supervise(
      stage,
      [
        TRY,
        'try commit git -c user.name=a -c user.email=a@b.c commit -q --allow-empty -m second',
        `try hooks make ${common}/hooks/post-commit`,
        `try config make ${common}/config`,
        `try commondir make ${common}/commondir`,
        `try "own commondir" make ${common}/worktrees/linked/commondir`,
        'try pointer make .git',
        'try other make ../shop/README',
      ].join('\n'),
      {
        command: { argv: ['bash'], directory: root, executable: '/bin/bash' },
        repository: { root, gitDir: join(common, 'worktrees/linked'), commonDir: common },
      },
    ).done
    expect(results(output)).toEqual({
      commit: 'done',
      hooks: 'refused',
      config: 'refused',
      commondir: 'refused',
      'own commondir': 'refused',
      pointer: 'refused',
      // In the empty home of the sandbox.
      other: 'done',
    })
    expect(existsSync(join(stage.repository, 'README'))).toBe(false)
    expect(String(git('log', '--format=%s', 'linked').stdout)).toBe('second\nfirst\n')
  })

  test('on a terminal: its size and a new one, single keys, and Ctrl-C once', async () => {
    const stage = setStage()
    const script = [
      'test -t 0 && test -t 1 && test -t 2 && echo "tty $(stty size)"',
      `trap 'echo "now $(stty size)"' WINCH; trap 'echo got' INT`,
      'stty -icanon -echo; echo key; echo "raw <$(dd bs=1 count=1 2>/dev/null)>"; stty icanon',
      'echo ready; while [ ! -e go ]; do sleep 0.02; done; exit 6',
    ].join('\n')
    const pty = spawnPty(process.execPath, supervisor(stage, script), {
      cols: 90,
      rows: 30,
      env: process.env,
    })
    let screen = ''
    const changed = new Set<() => void>()
    pty.onData((data) => {
      screen += data
      for (const tell of changed) tell()
    })
    const shows = async (text: string) => {
      while (!screen.includes(text)) await new Promise<void>((tell) => changed.add(tell))
    }
    const exit = new Promise<number>((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode)))
    await shows('key')
    pty.write('x')
    await shows('ready')
    pty.resize(100, 40)
    await shows('now 40 100')
    pty.write('\x03')
    await shows('got')
    writeFileSync(join(stage.repository, 'go'), '')
    expect(await exit).toBe(6)
    expect(screen).toContain('tty 30 90')
    expect(screen).toContain('raw <x>')
    expect(screen.split('got')).toHaveLength(2)
  })

  test('a repository that holds the home is refused', async () => {
    const stage = setStage()
    const around = supervise(stage, 'true', {
      repository: { root: stage.home, gitDir: stage.home, commonDir: stage.home },
    })
    await expect(around.done).rejects.toMatchObject({ code: 'sandbox_unavailable' })
  })
})

/** Command lines of processes that name one of these. */
function alive(...marks: string[]): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
    .filter((line) => marks.some((mark) => line.includes(mark)))
}
