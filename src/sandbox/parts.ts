import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, isAbsolute, join } from 'node:path'
import { JitError } from '../lib/errors.ts'
import type { Environment } from './sandbox.ts'

/** The programs that a sandbox is made of. Paths are absolute. */
export interface Parts {
  readonly bwrap: string
  readonly socat: string
  readonly ripgrep: string
  readonly bash: string
  /** Makes the second PID namespace and refuses Unix sockets: apply-seccomp of sandbox-runtime. */
  readonly helper: string
  /** Runs in the sandbox before the command: entry.sh beside this module. */
  readonly entry: string
  /** Clears up outside where the supervisor was killed: caretaker.sh beside this module. */
  readonly caretaker: string
  /** Folders that the command has to read: this package's and the runtime's. */
  readonly packages: readonly string[]
  /** What this program may load or run while the sandbox does: never to be written in there. */
  readonly code: readonly string[]
}

const SYSTEM = ['/usr/bin', '/bin', '/usr/local/bin', '/run/current-system/sw/bin']

/** Where the runtime's own helpers lie, by Node's name of the architecture. */
const HELPERS: Readonly<Record<string, string>> = { x64: 'x64', arm64: 'arm64' }

const RUNTIME = '@anthropic-ai/sandbox-runtime'

/** What to install, by the program that is missing. */
const PACKAGES = { bwrap: 'bubblewrap', socat: 'socat', rg: 'ripgrep', bash: 'bash' } as const

/**
 * Whether this system can make a sandbox: tried, with a bubblewrap that does nothing.
 * @param writable what the sandbox may write: nothing in it is run
 * @param system folders of programs that are looked through before those of PATH
 * @throws JitError `sandbox_unavailable`, with what to install or to allow
 */
export function checkSandbox(environment: Environment, writable: string, system = SYSTEM): void {
  const { bwrap } = findParts(environment, writable, system)
  const probe = ['--unshare-user', '--unshare-pid', '--unshare-net', '--ro-bind', '/', '/']
  const { status, stderr, error } = spawnSync(bwrap, [...probe, '--proc', '/proc', '/bin/true'], {
    encoding: 'utf8',
    timeout: 5000,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  if (status === 0) return
  const why = error?.message ?? stderr.trim().split('\n')[0] ?? ''
  throw new JitError('sandbox_unavailable', `bubblewrap can't make a sandbox here: ${why}`, {
    hint: 'the kernel has to allow unprivileged user namespaces: see sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns',
  })
}

/**
 * Finds the programs: those of the system first, never one in what the sandbox may write.
 * @throws JitError `sandbox_unavailable` naming all that is missing
 */
export function findParts(environment: Environment, writable: string, system = SYSTEM): Parts {
  const helper = HELPERS[process.arch]
  if (process.platform !== 'linux' || !helper) {
    throw new JitError('sandbox_unavailable', `jit sandbox runs on Linux (x64, arm64) alone so far`)
  }
  const folders = [...system, ...(environment.PATH ?? '').split(':').filter(isAbsolute)].filter(
    (folder) => existsSync(folder) && !`${realpathSync(folder)}/`.startsWith(`${writable}/`),
  )
  const find = (name: string) =>
    folders.map((folder) => join(folder, name)).find(isExecutable) ?? ''
  const [bwrap, socat, rg, bash] = ['bwrap', 'socat', 'rg', 'bash'].map(find)
  refuseMissing({ bwrap, socat, rg, bash })
  const runtime = packageOf(createRequire(import.meta.url).resolve(`${RUNTIME}/package.json`))
  const own = packageOf(import.meta.filename)
  return {
    bwrap: bwrap ?? '',
    socat: socat ?? '',
    ripgrep: rg ?? '',
    bash: bash ?? '',
    helper: join(runtime, 'vendor/seccomp', helper, 'apply-seccomp'),
    entry: join(import.meta.dirname, 'entry.sh'),
    caretaker: join(import.meta.dirname, 'caretaker.sh'),
    packages: [...new Set([runtime, own].map(installedIn))],
    code: [...new Set([runtime, own].flatMap(codeOf))],
  }
}

/** Of a package among others, all of them; of one that is worked on, what runs of it. */
function codeOf(folder: string): string[] {
  const installed = installedIn(folder)
  const parts = installed === folder ? ['bin', 'dist', 'src', 'node_modules'] : ['']
  return parts.map((part) => join(installed, part)).filter(existsSync)
}

function refuseMissing(found: Readonly<Record<keyof typeof PACKAGES, string | undefined>>): void {
  const missing = Object.entries(PACKAGES).filter(([name]) => !found[name as keyof typeof found])
  if (missing.length === 0) return
  const names = missing.map(([, packaged]) => packaged).join(' ')
  throw new JitError('sandbox_unavailable', `a sandbox needs ${names.replaceAll(' ', ', ')}`, {
    hint: `install it first, such as with: sudo apt-get install ${names}`,
  })
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The folder of the package that a file belongs to. */
function packageOf(file: string): string {
  let folder = dirname(realpathSync(file))
  while (!existsSync(join(folder, 'package.json')) && folder !== '/') folder = dirname(folder)
  return folder
}

/** A package with those it needs, which lie beside it: the outermost `node_modules` that it is in. */
export function installedIn(folder: string): string {
  const [before = ''] = folder.split('/node_modules/')
  return before === folder ? folder : join(before, 'node_modules')
}
