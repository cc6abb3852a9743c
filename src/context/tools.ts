import { constants, readdirSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { isFolderBelow, readData } from '../lib/data-file.ts'
import { parseJson } from '../protocol/parse.ts'

const MAX_BYTES = 256 * 1024
const MAX_SUGGESTIONS = 6

/** What a file of a tool means: a command that people run with it, and the tasks it is usually run for. */
interface Tool {
  /** A file or folder at the top of the repository, or in one of {@link WITHIN}. */
  readonly file: RegExp
  readonly commands: readonly (readonly [pattern: string, tasks: RegExp])[]
}

const APPLIES = /deploy|apply|release|provision|infra/
const PLANS = /plan|preview|diff|read|look|check/
const MIGRATES = /migrat|schema|deploy/

const TOOLS: readonly Tool[] = [
  {
    file: /\.tf$/,
    commands: [
      ['terraform apply *', APPLIES],
      ['terraform plan *', PLANS],
    ],
  },
  {
    file: /^Pulumi\.yaml$/,
    commands: [
      ['pulumi up *', APPLIES],
      ['pulumi preview *', PLANS],
    ],
  },
  { file: /^Chart\.yaml$/, commands: [['helm upgrade *', APPLIES]] },
  {
    file: /^kustomization\.ya?ml$/,
    commands: [
      ['kubectl apply *', APPLIES],
      ['kubectl diff *', PLANS],
    ],
  },
  { file: /^serverless\.ya?ml$/, commands: [['serverless deploy *', APPLIES]] },
  { file: /^(?:playbook|site)\.ya?ml$/, commands: [['ansible-playbook *', APPLIES]] },
  { file: /^schema\.prisma$/, commands: [['npx prisma migrate deploy *', MIGRATES]] },
  { file: /^alembic\.ini$/, commands: [['alembic upgrade *', MIGRATES]] },
  { file: /^manage\.py$/, commands: [['python manage.py migrate *', MIGRATES]] },
  { file: /^flyway\.(?:conf|toml)$/, commands: [['flyway migrate *', MIGRATES]] },
  { file: /^sqitch\.plan$/, commands: [['sqitch deploy *', MIGRATES]] },
  { file: /^Rakefile$/, commands: [['bin/rails db:migrate', MIGRATES]] },
  { file: /^migrations?$/, commands: [['psql *', MIGRATES]] },
  { file: /^train\.py$/, commands: [['python train.py *', /train|model/]] },
]

/** Folders that are looked into as well. */
const WITHIN = ['.', 'terraform', 'infra', 'infrastructure', 'deploy', 'k8s', 'prisma', 'db']

/**
 * Commands that a task in this repository is probably for, best first: suggestions to a person, from
 * the names of files, the scripts of `package.json` and the rules of a `Makefile`. Read as data; none
 * is run, and none is certain.
 * @param root top of the working tree
 */
export function commandsHere(root: string, task: string): string[] {
  const folders = WITHIN.filter((folder) => isFolderBelow(root, folder))
  const names = new Set(folders.flatMap((folder) => namesIn(join(root, folder))))
  const known = TOOLS.filter(({ file }) => [...names].some((name) => file.test(name)))
    .flatMap(({ commands }) => commands)
    .filter(([, tasks]) => tasks.test(task))
    .map(([pattern]) => pattern)
  const own = [
    ...scriptsIn(root).map((name) => [name, `npm run ${name}`] as const),
    ...rulesIn(root).map((name) => [name, `make ${name}`] as const),
  ]
  const alike = own.filter(([name]) => name.includes(task)).map(([, pattern]) => pattern)
  return [...new Set([...alike, ...known])].slice(0, MAX_SUGGESTIONS)
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).slice(0, 1000)
  } catch {
    return []
  }
}

const Manifest = v.object({ scripts: v.record(v.string(), v.unknown()) })

/** What people may type as one word. */
const WORD = /^[A-Za-z0-9][\w:.-]{0,62}$/

function scriptsIn(root: string): string[] {
  const text = readData(join(root, 'package.json'), MAX_BYTES, constants.O_NOFOLLOW)
  if (!text) return []
  try {
    const { scripts } = parseJson(Manifest, text.toString(), { what: 'package.json' })
    return Object.keys(scripts).filter((name) => WORD.test(name))
  } catch {
    return []
  }
}

function rulesIn(root: string): string[] {
  const text = readData(join(root, 'Makefile'), MAX_BYTES, constants.O_NOFOLLOW)?.toString() ?? ''
  return [...text.matchAll(/^([A-Za-z0-9][\w.-]{0,62})\s*:(?!=)/gm)].map(([, name = '']) => name)
}
