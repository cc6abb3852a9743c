import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Home, JIT } from '../run/home.ts'
import { type Traced, trace } from './trace.ts'
import type { Place, Trick } from './trick.ts'

/** In each repository: all that reads one before anything was agreed to. */
export const BEFORE: readonly (readonly string[])[] = [
  ['exec', '--dry-run', '--env', 'dev', '--task', 'deploy', '--', 'true'],
  ['exec', '--dry-run', '--', 'true', 'apply'],
  ['trust'],
  ['__complete', 'profiles', 'exec'],
]
/** Where its `.jit.yaml` can be trusted: that, and all that uses it then. */
const AFTER: readonly (readonly string[])[] = [
  ['trust', '--yes'],
  ['__complete', 'profiles', 'exec'],
  ['exec', 'deploy', '--', 'true', 'apply'],
]
/** Milliseconds: also on a machine that does much else. */
const TIMEOUT = 120_000

/** What came of standing in a repository and asking `jit` there. */
export interface Visit {
  readonly place: Place
  readonly traced: Traced
  /** What everything wrote, one after the other. */
  readonly output: string
  /** Seconds of computing, of all of them together. */
  readonly computed: number
  /** What each command ended with. */
  readonly codes: readonly number[]
  /** Whether anything of the repository, or of what is outside, is another than before. */
  readonly changed: readonly string[]
  readonly canary: boolean
}

/** Builds the repository, and stands in it. */
export async function visit(trick: Trick, home: Home, hook: string): Promise<Visit> {
  const { place, results } = setUp(trick, home)
  const before = look(place)
  const cwd = join(place.root, trick.within ?? '.')
  const script = join(results, 'visit.sh')
  writeFileSync(script, scriptOf(trick, results))
  const traced = await trace(['/bin/sh', script], {
    ...{ folder: join(results, 'trace'), cwd, timeout: TIMEOUT },
    env: { ...home.env, PATH: '/usr/bin:/bin', HOOK: hook },
  })
  const after = look(place)
  return {
    ...{ place, traced, codes: codesIn(results), output: outputIn(results) },
    computed: computedIn(results),
    changed: [...missingIn(after, before), ...missingIn(before, after)],
    canary: existsSync(place.canary),
  }
}

function setUp(trick: Trick, home: Home): { place: Place; results: string } {
  const base = join(home.directory, trick.name.replaceAll(/[^a-z0-9]+/gi, '-'))
  const place = {
    ...{ root: join(base, 'repository'), outside: join(base, 'outside') },
    canary: join(base, 'canary'),
  }
  mkdirSync(place.outside, { recursive: true })
  writeFileSync(
    join(place.outside, 'loot'),
    'ref: refs/heads/LOOT\n[remote "origin"]\nurl = LOOT\n',
  )
  trick.build(place)
  const results = join(base, 'results')
  mkdirSync(results)
  return { place, results }
}

/** One shell for a repository, and in the end one that shows a prompt there. */
function scriptOf({ trustable }: Trick, results: string): string {
  const commands = [...BEFORE, ...(trustable ? AFTER : [])].map((args, at) => {
    const words = [process.execPath, JIT, ...args].map((word) => `'${word}'`)
    const out = join(results, `${at}`)
    return `${words.join(' ')} >'${out}.out' 2>&1 </dev/null; echo $? >'${out}.code'`
  })
  const prompt = `/bin/bash --norc --noprofile -c 'eval "$HOOK"; eval "$PROMPT_COMMAND"; echo "\${PS1@P}"'`
  const shown = `PS1='> ' ${prompt} >'${results}/prompt.out' 2>&1`
  return [...commands, shown, `times >'${results}/times'`, ''].join('\n')
}

const missingIn = (one: ReadonlySet<string>, other: ReadonlySet<string>) =>
  [...other].filter((line) => !one.has(line))

/** Every file with all that `lstat` tells but when it was read. */
function look({ root, outside }: Place): Set<string> {
  const format = '%p %y %m %s %T@ %C@ %i %l\\n'
  const listed = execFileSync('find', [root, outside, '-printf', format], {
    maxBuffer: 64 * 1024 * 1024,
  })
  return new Set(listed.toString().split('\n'))
}

const filesIn = (results: string, ending: string) =>
  readdirSync(results)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => readFileSync(join(results, name), 'utf8'))

const outputIn = (results: string) => filesIn(results, '.out').join('')
/** As `times` of sh(1) has it in its second line: minutes and seconds, of the processes it started. */
function computedIn(results: string): number {
  const [, children = ''] = readFileSync(join(results, 'times'), 'utf8').split('\n')
  const [, minutes, seconds] = /^(\d+)m([\d.]+)s/.exec(children) ?? []
  return Number(minutes) * 60 + Number(seconds)
}

const codesIn = (results: string) => filesIn(results, '.code').map(Number)
