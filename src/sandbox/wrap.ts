import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import {
  linuxGetCwdMandatoryDenyPaths,
  wrapCommandWithSandboxLinux,
} from '@anthropic-ai/sandbox-runtime/dist/sandbox/linux-sandbox-utils.js'
import type { Command } from '../protocol/request.ts'
import type { FileRules } from './files.ts'
import { withOwnNamespaces } from './namespaces.ts'
import type { Parts } from './parts.ts'

/** How deep below the repository the runtime looks for what it keeps from being written. */
const SEARCH_DEPTH = 4

/** A command line that makes the sandbox, for a shell to `exec`. */
export interface WrappedLine {
  readonly line: string
  /** What bubblewrap makes outside, to mount on: names that don't exist yet and may not be made. */
  readonly mountPoints: readonly string[]
}

/**
 * Has the runtime make the command line. It looks for what it protects from where this process stands
 * and keeps an empty folder in the temporary directory: both are moved for that long.
 */
export async function wrapCommand({
  command,
  root,
  folder,
  parts,
  rules,
}: {
  command: Command
  root: string
  folder: string
  parts: Parts
  rules: FileRules
}): Promise<WrappedLine> {
  const guarded = new Set(rules.guarded)
  using _ = standingIn(root, folder)
  using _own = withoutExitListener()
  for (const path of linuxGetCwdMandatoryDenyPaths()) guarded.add(path)
  const mountPoints = [
    ...new Set([...guarded].map(firstAbsent).filter((path) => path !== undefined)),
  ]
  const line = await wrapCommandWithSandboxLinux({
    command: inWords(command),
    needsNetworkRestriction: true,
    readConfig: {
      denyOnly: [],
      literalDenyOnly: [...rules.hidden],
      literalAllowWithinDeny: [...rules.readable],
    },
    writeConfig: {
      allowOnly: [],
      literalAllowOnly: [...rules.writable],
      denyWithinAllow: [],
      literalDenyWithinAllow: [...rules.guarded],
    },
    bwrapPath: parts.bwrap,
    binShell: parts.bash,
    ripgrepConfig: { command: parts.ripgrep },
    mandatoryDenySearchDepth: SEARCH_DEPTH,
    seccompConfig: { applyPath: parts.entry },
  })
  return { line: withOwnNamespaces(line), mountPoints }
}

/** The runtime would remove its mount points when this process exits, also those that another sandbox needs. */
function withoutExitListener(): Disposable {
  const before = process.listeners('exit')
  return {
    [Symbol.dispose]() {
      for (const listener of process.listeners('exit')) {
        if (!before.includes(listener)) process.off('exit', listener)
      }
    },
  }
}

function standingIn(root: string, folder: string): Disposable {
  const { TMPDIR } = process.env
  const before = process.cwd()
  process.chdir(root)
  process.env.TMPDIR = folder
  return {
    [Symbol.dispose]() {
      process.chdir(before)
      if (TMPDIR === undefined) delete process.env.TMPDIR
      else process.env.TMPDIR = TMPDIR
    },
  }
}

/** The first part of a path that doesn't exist: what has to be made to mount on. */
function firstAbsent(path: string): string | undefined {
  if (existsSync(path)) return undefined
  const parent = dirname(path)
  return existsSync(parent) ? path : firstAbsent(parent)
}

/** The one command of the innermost shell, which it becomes. */
function inWords({ executable, argv: [name = executable, ...rest] }: Command): string {
  return ['exec', '-a', name, executable, ...rest].map(quoted).join(' ')
}

function quoted(word: string): string {
  return /^[\w./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
