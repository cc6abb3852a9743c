import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { leaveMarker } from '../src/run/marker.ts'
import { hookScript } from '../src/shell/hook.ts'
import type { Figure } from './figure.ts'
import { median } from './statistics.ts'

/** Grants that are live. */
const GRANTS = [0, 1, 20]
/** Runs of a shell; the median counts. */
const RUNS = 5
/** Milliseconds that a person doesn't notice between two prompts. */
const BUDGET = 10

/** What a shell does for a prompt so many times, and then says how many seconds it took. */
const SHELLS = {
  bash: (times: number, hook: string) => ({
    args: ['--norc', '--noprofile'],
    script: `PS1='\\u@\\h \\w$ '; eval "$HOOK"; began=$EPOCHREALTIME
      for ((i = 0; i < ${times}; i++)); do ${hook}; : "\${PS1@P}"; done
      printf '%s %s' "$began" "$EPOCHREALTIME"`,
  }),
  zsh: (times: number, hook: string) => ({
    args: ['-f'],
    script: `zmodload zsh/datetime; PROMPT='%n@%m %~%# '; eval "$HOOK"; began=$EPOCHREALTIME
      for ((i = 0; i < ${times}; i++)); do ${hook}; : "\${(%)PROMPT}"; done
      printf '%s %s' "$began" "$EPOCHREALTIME"`,
  }),
} as const
type Shell = keyof typeof SHELLS

/** A prompt with the hook, for each shell and number of grants, beside one without. */
export async function timePrompt(times: number): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const shell of Object.keys(SHELLS) as Shell[]) {
    for (const grants of GRANTS) figures.push(await promptOf(shell, { grants, times }))
  }
  return figures
}

async function promptOf(
  shell: Shell,
  { grants, times }: { grants: number; times: number },
): Promise<Figure> {
  const directory = await mkdtemp(join(tmpdir(), 'jit-bench-'))
  const expiresAt = Date.now() + 900_000
  const marker = { expiresAt, environment: 'prod', tier: 'production', task: 'deploy' }
  const left = Array.from({ length: grants }, (_, at) =>
    leaveMarker(join(directory, 'jit'), { ...marker, grant: `g_${at}`, agent: undefined }),
  )
  const took = { with: [] as number[], without: [] as number[] }
  try {
    for (let run = 0; run < RUNS; run += 1) {
      took.with.push(await secondsOf(shell, { directory, times, hook: '__jit_hook' }))
      took.without.push(await secondsOf(shell, { directory, times, hook: ':' }))
    }
  } finally {
    for (const one of left) one[Symbol.dispose]()
    await rm(directory, { recursive: true, force: true })
  }
  return {
    what: `${shell}'s prompt, ${grants} ${grants === 1 ? 'grant' : 'grants'}`,
    unit: 'ms',
    measured: (median(took.with) * 1000) / times,
    floor: (median(took.without) * 1000) / times,
    floorIs: 'no hook',
    budget: BUDGET,
  }
}

async function secondsOf(
  shell: Shell,
  { directory, times, hook }: { directory: string; times: number; hook: string },
): Promise<number> {
  const { args, script } = SHELLS[shell](times, hook)
  const child = spawn(shell, [...args, '-c', script], {
    env: {
      PATH: process.env.PATH,
      HOME: directory,
      XDG_RUNTIME_DIR: directory,
      LANG: 'C.UTF-8',
      HOOK: hookScript(shell, { prompt: true }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  const [began, ended] = (await text(child.stdout)).split(' ').map(Number)
  await closed
  if (began === undefined || ended === undefined) throw new Error(`${shell} did not say its time`)
  return ended - began
}
