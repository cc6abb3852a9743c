/**
 * A hostile copilot: tries everything and writes down what came of it, one JSON object a line.
 * Usage: node copilot.ts SURROUNDINGS.json RESULTS all|plain [AREA]
 */
import { appendFileSync, copyFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Attempted, Escape, Surroundings } from './escape.ts'
import { ESCAPES } from './escapes.ts'
import { run, shell } from './tools.ts'

const TIMEOUT_MS = 15_000
/** Attempts side by side, where they don't disturb each other. */
const AT_ONCE = 6
const ALONE = new Set(['Processes', 'Planting', 'Outliving'])
/** With a grant in hand, from other processes, and when both have ended. */
const APART = new Set(['Credential', 'Replay', 'Afterwards'])

const [, , surroundingsFile = '', resultsFile = '', which = 'all', only] = process.argv
const surroundings = JSON.parse(readFileSync(surroundingsFile, 'utf8')) as Surroundings

function missing({ needs = [] }: Escape): string | undefined {
  const folders = (process.env.PATH ?? '').split(':').concat('/usr/bin')
  return needs.find((program) => !folders.some((folder) => existsSync(`${folder}/${program}`)))
}

async function attempt(way: Escape): Promise<Attempted> {
  const { name } = way
  const lacking = missing(way)
  if (lacking !== undefined) return { name, missing: lacking }
  try {
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error('no end')), TIMEOUT_MS).unref()
    })
    const got = await Promise.race([Promise.resolve(way.attempt(surroundings)), late])
    return got === undefined || got === '' ? { name, refusal: 'nothing' } : { name, got }
  } catch (error) {
    return { name, refusal: (error as Error).message.trim().split('\n').at(-1) ?? '' }
  }
}

async function tryAll(escapes: readonly Escape[], atOnce: number): Promise<void> {
  const waiting = [...escapes]
  const one = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      appendFileSync(resultsFile, `${JSON.stringify(await attempt(next))}\n`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, one))
}

/** What a grant of the database is asked for. */
const ASK = ['exec', '--env', 'dev', '--task', 'plan', '--target', 'dev-db', '--']

async function tryWithGrant(): Promise<void> {
  const [node, jit] = surroundings.jit
  const again = [node, process.argv[1] ?? '', surroundingsFile, resultsFile, which, 'Credential']
  const { code, output } = await run(node, [jit, ...ASK, ...again], { timeout: 30_000 })
  if (code === 0) return
  for (const { name } of ESCAPES.Credential ?? []) {
    appendFileSync(resultsFile, `${JSON.stringify({ name, refusal: `no grant: ${output}` })}\n`)
  }
}

/** Leaves all that a command with a grant has for other processes to try, and waits for them. */
async function handOut(): Promise<void> {
  const [node, jit] = surroundings.jit
  const { notes } = surroundings
  copyFileSync('/proc/self/mountinfo', join(notes, 'mounts'))
  const script =
    'env > granted.new; mv granted.new granted.env; while [ ! -e done ]; do sleep 0.05; done'
  await shell(`cd ${notes} && '${node}' '${jit}' ${ASK.join(' ')} sh -c '${script}'`, {
    timeout: 30_000,
  })
}

// What an attempt leaves behind must not end those that come after it.
process.on('uncaughtException', () => {})

for (const [area, escapes] of Object.entries(ESCAPES)) {
  if (only === undefined ? APART.has(area) : only !== area) continue
  const chosen = escapes.filter(({ plain }) => plain || which === 'all')
  await tryAll(chosen, ALONE.has(area) ? 1 : AT_ONCE)
}
if (only === undefined) await tryWithGrant()
if (only === undefined && which === 'all') {
  await handOut()
  await tryAll(ESCAPES.Afterwards ?? [], 1)
}
process.exit(0)
