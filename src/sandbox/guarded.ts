import { existsSync, lstatSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { readData } from '../lib/data-file.ts'
import { includedIn } from './git-includes.ts'
import { excludeFile } from './ignored.ts'
import type { SandboxRepository } from './sandbox.ts'

const MAX_CONFIG = 1024 * 1024

/**
 * What another program would run, or trust, because it lies in a repository. Beside the runtime's own
 * list. A folder stands with a file of it, so that what is mounted where it doesn't exist is a folder.
 */
const GUARDED = [
  '.jit.yaml',
  '.github/workflows',
  '.github/actions',
  '.gitea/workflows',
  '.forgejo/workflows',
  '.gitlab-ci.yml',
  '.circleci',
  '.circleci/config.yml',
  '.buildkite',
  '.buildkite/pipeline.yml',
  '.travis.yml',
  'Jenkinsfile',
  'azure-pipelines.yml',
  'bitbucket-pipelines.yml',
  '.woodpecker.yml',
  '.drone.yml',
  '.pre-commit-config.yaml',
  '.husky',
  '.husky/pre-commit',
  '.githooks',
  '.githooks/pre-commit',
  'lefthook.yml',
  '.lefthook.yml',
  '.vscode',
  '.vscode/tasks.json',
  '.idea',
  '.idea/workspace.xml',
  '.devcontainer',
  '.devcontainer/devcontainer.json',
  '.devcontainer.json',
  '.envrc',
  '.mise.toml',
  'mise.toml',
  '.npmrc',
  '.yarnrc.yml',
  '.bash_login',
  '.bash_logout',
  '.zshenv',
  '.zlogin',
  '.claude/settings.json',
  '.claude/settings.local.json',
  '.claude/hooks',
  '.cursor/mcp.json',
  '.cursor/hooks.json',
  '.gemini/settings.json',
  '.codex/config.toml',
]

/** Of git's own folder: what it runs, and what names that. */
const GIT_GUARDED = ['hooks', 'config', 'config.worktree']

/** Only where they are there: an empty one made to be mounted on would say something else. */
const PINNED = ['commondir', 'gitdir', 'objects/info/alternates']

/** @param root the top of what may be written */
export function guardedIn(root: string): string[] {
  const folders = new Set(GUARDED.map((name) => join(root, name)))
  return GUARDED.map((name) => join(root, name)).filter(
    // Nothing can be made in a folder that is there already, and closed as a whole.
    (path) => existsSync(path) || !folders.has(dirname(path)) || !existsSync(dirname(path)),
  )
}

/** What git would run or take its settings from, those of worktrees and submodules included. */
export function guardedInGit({ root, gitDir, commonDir, hooksPath }: SandboxRepository): string[] {
  const dirs = [...new Set([gitDir, commonDir])]
  const modules = submodulesOf({ gitDir, commonDir })
  return [
    ...[...dirs, ...modules].flatMap((dir) => GIT_GUARDED.map((name) => join(dir, name))),
    excludeFile({ commonDir }),
    ...includedIn(
      [...dirs, ...modules].flatMap((dir) => [join(dir, 'config'), join(dir, 'config.worktree')]),
      root,
    ),
    // Which folders git takes for its own, in each worktree and submodule, and where more objects lie.
    ...[...dirs, ...modules, ...folders(join(commonDir, 'worktrees'))]
      .flatMap((dir) => PINNED.map((name) => join(dir, name)))
      .filter(existsSync),
    ...[join(root, '.git'), ...modules.flatMap(pointerTo)].filter(isFile),
    ...(hooksPath ? [resolve(root, hooksPath)].filter((path) => path.startsWith(`${root}/`)) : []),
  ]
}

/** Git's folders of submodules, those of submodules' own included. */
export function submodulesOf({
  gitDir,
  commonDir,
}: Pick<SandboxRepository, 'gitDir' | 'commonDir'>): string[] {
  return [...new Set([gitDir, commonDir])].flatMap((dir) => submodules(join(dir, 'modules')))
}

/** The file `.git` in a submodule's working tree, which says where its folder lies. */
function pointerTo(module: string): string[] {
  const config = readData(join(module, 'config'), MAX_CONFIG)?.toString() ?? ''
  const [, place = ''] = /^[ \t]*worktree[ \t]*=(.*)$/m.exec(config) ?? []
  return place.trim() === '' ? [] : [join(resolve(module, place.trim()), '.git')]
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
}

/** Folders of submodules: those with a HEAD, at any depth, as a submodule's name may hold slashes. */
function submodules(folder: string, depth = 0): string[] {
  if (depth > 4) return []
  return folders(folder).flatMap((path) =>
    existsSync(join(path, 'HEAD'))
      ? [path, ...submodules(join(path, 'modules'), depth + 1)]
      : submodules(path, depth + 1),
  )
}

function folders(folder: string): string[] {
  // A link would lead to what is none of the repository's.
  if (!lstatSync(folder, { throwIfNoEntry: false })?.isDirectory()) return []
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(folder, entry.name))
}
