import { existsSync, realpathSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { JitError } from '../lib/errors.ts'
import { pathsFrom } from '../lib/paths.ts'
import { guardedIn, guardedInGit } from './guarded.ts'
import type { Parts } from './parts.ts'
import type { Environment, SandboxOptions } from './sandbox.ts'
import { readableTools } from './toolchains.ts'
import { toolOf } from './tools.ts'

/** What a sandbox may do with files; all else can be read, not written. Paths are absolute. */
export interface FileRules {
  /** Empty inside: can't be read or listed, save what lies below it in `readable` and `writable`. */
  readonly hidden: readonly string[]
  readonly readable: readonly string[]
  readonly writable: readonly string[]
  /** Of what is writable: can't be written or made. */
  readonly guarded: readonly string[]
}

/** Other people's, other programs' and the machine's own: each gets an empty one, `/tmp` and `/run` to write to. */
const SYSTEM = [
  '/home',
  '/root',
  '/tmp',
  '/run',
  '/mnt',
  '/media',
  '/srv',
  '/var',
  '/boot',
  '/lost+found',
]
const SYSTEM_FILES = [
  '/etc/shadow',
  '/etc/shadow-',
  '/etc/gshadow',
  '/etc/gshadow-',
  '/etc/sudoers',
  '/etc/sudoers.d',
  '/etc/ssh',
  '/etc/ssl/private',
  '/etc/krb5.keytab',
  '/sys/kernel/security',
  '/sys/kernel/debug',
]

/**
 * The rules for a command: its repository is writable, what it needs to run is readable, and the home,
 * other people's and the machine's own data are hidden.
 * @param visible sockets to be bound in
 */
export function fileRules(
  options: Pick<SandboxOptions, 'command' | 'environment' | 'profile' | 'repository'> & {
    parts: Parts
    visible: readonly string[]
  },
): FileRules {
  const { command, environment, profile, repository, parts, visible } = options
  const root = realpathSync(repository?.root ?? command.directory)
  const home = homeOf(environment)
  const tool = toolOf(command.executable)
  const atHome = (paths: readonly string[]) => paths.map((path) => join(home, path))
  const secret = secretFolders(environment, home)
  return {
    hidden: present([
      ...SYSTEM,
      ...SYSTEM_FILES,
      home,
      userInfo().homedir,
      ...secret,
      ...profile.hidden,
    ]),
    readable: present(
      [
        ...parts.packages,
        ...readableTools({ command, environment, home }),
        ...atHome(tool.readable),
        ...profile.readable,
        ...visible,
      ],
      visible,
    ),
    writable: present([
      root,
      ...(repository ? [repository.gitDir, repository.commonDir] : []),
      ...atHome(tool.writable),
      ...profile.writable,
    ]),
    guarded: [
      ...guardedIn(root),
      ...(repository ? guardedInGit(repository) : []),
      ...parts.code,
      ...atHome(tool.guarded),
      ...profile.readOnly.map((path) => resolve(root, path)),
    ],
  }
}

/** Where this program and others keep what signs a person in, wherever the variables point. */
function secretFolders(environment: Environment, home: string): string[] {
  const { config, data, cache, runtime } = pathsFrom(environment)
  return [
    // This program's own stay hidden where a profile opens what they lie in.
    ...[config, data, cache, runtime].flatMap((path) => [dirname(path), path]),
    ...[
      'XDG_STATE_HOME',
      'GNUPGHOME',
      'DOCKER_CONFIG',
      'CLOUDSDK_CONFIG',
      'AZURE_CONFIG_DIR',
      'KUBECONFIG',
      'NETRC',
      'AWS_SHARED_CREDENTIALS_FILE',
      'AWS_CONFIG_FILE',
      'NPM_CONFIG_USERCONFIG',
      'GH_CONFIG_DIR',
      'HISTFILE',
      'GOOGLE_APPLICATION_CREDENTIALS',
      'PGPASSFILE',
      'VAULT_TOKEN_FILE',
    ]
      .flatMap((name) => (environment[name] ?? '').split(':'))
      .filter((path) => path.startsWith('/')),
    join(home, '.ssh'),
  ]
}

/** Each once, by its real place too; what doesn't exist can't be read anyway. */
function present(paths: readonly string[], ahead: readonly string[] = []): string[] {
  const found = paths.filter((path) => path !== '/' && (ahead.includes(path) || existsSync(path)))
  return [...new Set(found)]
}

/**
 * A repository that holds the home, or is it, would make all of that writable.
 * @throws JitError `sandbox_unavailable`
 */
export function refuseHomeIn(root: string, environment: Environment): void {
  const home = homeOf(environment)
  const real = existsSync(home) ? realpathSync(home) : home
  if (root !== '/' && !`${real}/`.startsWith(`${root}/`)) return
  throw new JitError('sandbox_unavailable', `${root} holds the home ${home}`, {
    hint: 'what is in it would be writable: stand in a repository, or in a folder of its own',
  })
}

function homeOf(environment: Environment): string {
  return environment.HOME || userInfo().homedir
}
