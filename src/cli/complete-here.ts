import { findRepository } from '../context/git-dir.ts'
import { findProfileFile } from '../context/profile.ts'
import type { Candidate, Completing } from './complete-from.ts'
import { readSandboxProfiles } from './config.ts'

/** Those of the `.jit.yaml` here, read as data: trusted or not, `jit exec` says. */
export async function profiles({ cwd }: Completing): Promise<Candidate[]> {
  const file = await findProfileFile({ directory: cwd, root: findRepository(cwd)?.root })
  return [...(file?.profiles ?? [])].map(([value, { task, environment, targets }]) => ({
    value,
    about: `${task} in ${environment}${targets ? `: ${targets.join(', ')}` : ''}`,
  }))
}

/** Those of the person's configuration. */
export async function sandboxProfiles({ paths }: Completing): Promise<Candidate[]> {
  return Object.entries(await readSandboxProfiles(paths)).map(([value, { domains = [] }]) => ({
    value,
    about: domains.join(', '),
  }))
}
