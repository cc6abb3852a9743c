import { spawnSync } from 'node:child_process'
import { copyFile, cp } from 'node:fs/promises'
import { join } from 'node:path'
import type { Screen } from './screen.ts'
import type { Stage } from './stage.ts'

const EXAMPLES = join(import.meta.dirname, '..')
/** The first with `terraform_data`. */
const TERRAFORM = { major: 1, minor: 4 }

/** What is run with a role of its own, on a copy of an example. */
export interface Work {
  readonly title: string
  /** The example's folder, and that of its copy. */
  readonly folder: string
  /** Of the demo's own: they keep the credential that the work was given. */
  readonly witness: readonly string[]
  readonly task: string
  /** The last one is the work itself. */
  readonly commands: readonly (readonly string[])[]
}

const WITNESS = ['witness.ts', 'database-login.ts']

const terraform: Work = {
  title: 'terraform apply, with a database role that lives as long as terraform runs',
  folder: 'terraform',
  witness: [...WITNESS, 'witness.tf'],
  task: 'deploy',
  commands: [
    ['terraform', 'init', '-input=false'],
    ['terraform', 'apply', '-auto-approve', '-input=false'],
  ],
}

const migration: Work = {
  title: 'a schema migration, with a database role that lives as long as it runs',
  folder: 'migration',
  witness: WITNESS,
  task: 'migrate',
  commands: [['node', '--import', './witness.ts', 'migrate.ts']],
}

/** Terraform's example where it is installed, else the migration. */
export function chooseWork(screen: Screen, { onlyMigration }: { onlyMigration: boolean }): Work {
  if (onlyMigration) return migration
  const version = terraformVersion()
  if (version === undefined) {
    screen.say('terraform is not installed here: a schema migration shows the same.')
    return migration
  }
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > TERRAFORM.major || (major === TERRAFORM.major && minor >= TERRAFORM.minor)) {
    return terraform
  }
  screen.say(`terraform ${version} is too old for the example: a schema migration shows the same.`)
  return migration
}

function terraformVersion(): string | undefined {
  const env = { PATH: process.env.PATH, CHECKPOINT_DISABLE: '1' }
  const { status, stdout } = spawnSync('terraform', ['version'], { env, encoding: 'utf8' })
  return status === 0 ? /^Terraform v(\d+\.\d+\.\d+)/.exec(stdout)?.[1] : undefined
}

/** @returns the copy's folder */
export async function copyExample(stage: Stage, { folder, witness }: Work): Promise<string> {
  const copy = stage.path(folder)
  // What a run of one's own left in the example stays there.
  const filter = (path: string) => !/\.terraform|\.tfstate/.test(path.slice(EXAMPLES.length))
  await cp(join(EXAMPLES, folder), copy, { recursive: true, filter })
  for (const file of witness) await copyFile(join(import.meta.dirname, file), join(copy, file))
  return copy
}
