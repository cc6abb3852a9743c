import { systemClock } from '../lib/clock.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import { pathsFrom } from '../lib/paths.ts'
import { ASKED, type Asked } from '../shell/command-tree.ts'
import { HARMLESS } from '../shell/completion-script.ts'
import { askableValues, REFRESH, refreshForNextTime } from './complete-askable.ts'
import type { Candidate, Completing } from './complete-from.ts'
import { agents, approvals, grants, requests, unacknowledged } from './complete-grants.ts'
import { profiles, sandboxProfiles } from './complete-here.ts'

/** How long all of it may take that isn't this machine's own work, in milliseconds. */
const PATIENCE = 200
/** Columns of a description. */
const WIDEST = 72

/** A line for each kind of value. */
const SOURCES: Readonly<Record<Asked, (from: Completing) => Promise<readonly Candidate[]>>> = {
  environments: askableValues('environments'),
  tasks: askableValues('tasks'),
  targets: askableValues('targets'),
  labels: askableValues('labels'),
  profiles,
  'sandbox-profiles': sandboxProfiles,
  grants,
  requests,
  approvals,
  unacknowledged,
  agents,
}

/**
 * `jit __complete WHAT [WORD…]`, as completion scripts call it: prints what there is to choose from, a
 * `value<TAB>description` a line, and ends the process. Whatever fails, there is nothing to choose
 * from: nobody who presses Tab asked for an error.
 * @param argv what is wanted, and the words of the command line before the cursor, without `jit`
 */
export async function complete([what = '', ...words]: readonly string[]): Promise<void> {
  const patience = new AbortController()
  const from = completing(words, patience.signal)
  let lines: string[] = []
  try {
    if (what === REFRESH) await refreshForNextTime(from)
    else if (isAsked(what)) {
      setTimeout(() => patience.abort(), PATIENCE)
      lines = (await SOURCES[what](from)).flatMap(lineOf)
    }
  } catch {
    // Nothing to choose from.
  }
  process.stdout.on('error', () => process.exit())
  process.stdout.write(lines.join(''), () => process.exit())
}

const isAsked = (what: string): what is Asked => (ASKED as readonly string[]).includes(what)

function completing(words: readonly string[], signal: AbortSignal): Completing {
  const { env } = process
  const paths = pathsFrom(env)
  return {
    words,
    signal,
    env,
    cwd: process.cwd(),
    clock: systemClock,
    paths,
    keystore: async () => (await import('../keystore/open.ts')).openKeystore({ env, paths }),
  }
}

/** What would mean anything to a shell isn't offered; what a terminal would obey is written out. */
function lineOf({ value, about }: Candidate): string[] {
  if (!new RegExp(HARMLESS).test(value)) return []
  const shown = [...escapeForDisplay(about)]
  const cut = shown.length > WIDEST ? `${shown.slice(0, WIDEST - 1).join('')}…` : shown.join('')
  return [`${value}\t${cut}\n`]
}
