import { existsSync, realpathSync } from 'node:fs'
import { basename, dirname, isAbsolute, join } from 'node:path'
import type { Command } from '../protocol/request.ts'
import { installedIn } from './parts.ts'
import type { Environment } from './sandbox.ts'

/** Where version managers and package managers put programs below a home. None holds a credential. */
const TOOLCHAINS = [
  '.nvm',
  '.volta/bin',
  '.volta/tools',
  '.asdf',
  '.fnm',
  '.nodenv',
  '.n',
  '.npm-global',
  '.bun/bin',
  '.bun/install/global',
  '.deno/bin',
  '.pyenv',
  '.rbenv',
  '.rustup',
  '.cargo/bin',
  '.goenv',
  'go/bin',
  '.sdkman/candidates',
  '.nix-profile',
  '.local/bin',
  '.local/lib',
  '.local/pipx/venvs',
  '.local/share/pipx/venvs',
  '.local/share/mise/installs',
  '.local/share/mise/shims',
  '.local/share/fnm',
  '.local/share/pnpm',
  '.local/share/uv',
  '.local/share/claude',
]

/** Of those, the folders that a version manager keeps to itself, by what they are called wherever they lie. */
const MANAGERS = /^(?:\/.*)?\/\.(?:nvm|asdf|fnm|nodenv|pyenv|rbenv|goenv|rustup|volta)(?=\/)/

/** What a folder is called that programs lie in. */
const BIN = new Set(['bin', 'sbin', 'shims', '.bin'])

/**
 * What may be read of a home so that programs run: the known toolchains, the folders of programs on
 * PATH, this Node, and the package of the executable that is to run.
 */
export function readableTools({
  command,
  environment,
  home,
}: {
  command: Command
  environment: Environment
  home: string
}): string[] {
  const onPath = (environment.PATH ?? '')
    .split(':')
    .filter((folder) => isAbsolute(folder) && BIN.has(basename(folder)))
  const folders = [
    ...TOOLCHAINS.map((path) => join(home, path)),
    ...onPath.flatMap((folder) => [folder, ...(MANAGERS.exec(folder) ?? [])]),
  ]
  // A link that such a folder shows can't be mounted on: what it leads to is mounted where it lies.
  const shown = (path: string) => folders.some((folder) => path.startsWith(`${folder}/`))
  const own = [process.execPath, command.executable].flatMap(programs)
  return [...folders, ...own.filter((path) => !shown(path))]
}

/** A program's own file, where it really lies, and the packages around it. */
function programs(path: string): string[] {
  if (!existsSync(path)) return []
  const real = realpathSync(path)
  const prefix = dirname(dirname(real))
  return [
    path,
    real,
    ...(real.includes('/node_modules/') ? [installedIn(dirname(real))] : []),
    // A Node or Python of its own, below wherever it was unpacked.
    ...['lib/node_modules', 'lib/python3'].map((part) => join(prefix, part)).filter(existsSync),
  ]
}
