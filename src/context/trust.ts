import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { JitError } from '../lib/errors.ts'
import type { Paths } from '../lib/paths.ts'
import { parseJson } from '../protocol/parse.ts'
import {
  findProfileFile,
  type Place,
  PROFILE_FILE,
  type Profile,
  type ProfileFile,
} from './profile.ts'

/** Which `.jit.yaml` the person has looked at: its hash by its path. */
const TrustedFiles = v.strictObject({
  version: v.literal(1),
  trusted: v.record(v.string(), v.string()),
})

type Trusted = Readonly<Record<string, string>>

/**
 * Whether this very content was trusted at this very place.
 * @throws JitError `config_invalid` where the record can't be read
 */
export async function isTrusted(file: ProfileFile, paths: Paths): Promise<boolean> {
  const trusted = await readTrusted(paths)
  return Object.hasOwn(trusted, file.path) && trusted[file.path] === file.hash
}

/** Trusts the file as it is now; any change to it ends that. */
export async function trust(file: ProfileFile, paths: Paths): Promise<void> {
  await writeTrusted(paths, { ...(await readTrusted(paths)), [file.path]: file.hash })
}

/** @returns whether it was trusted, in this or another content */
export async function untrust(path: string, paths: Paths): Promise<boolean> {
  const { [path]: before, ...rest } = await readTrusted(paths)
  if (before === undefined) return false
  await writeTrusted(paths, rest)
  return true
}

const recordOf = (paths: Paths) => join(paths.data, 'trusted.json')

async function readTrusted(paths: Paths): Promise<Trusted> {
  const path = recordOf(paths)
  let content: string
  try {
    content = await readFile(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw new JitError('config_invalid', `${path}: can't be read`, { cause })
  }
  return parseJson(TrustedFiles, content, { what: path, code: 'config_invalid' }).trusted
}

/** Whole or not at all: written beside it, then put in its place. */
async function writeTrusted(paths: Paths, trusted: Trusted): Promise<void> {
  await mkdir(paths.data, { recursive: true, mode: 0o700 })
  const path = recordOf(paths)
  const beside = `${path}.${process.pid}.new`
  await writeFile(beside, `${JSON.stringify({ version: 1, trusted }, null, 2)}\n`, { mode: 0o600 })
  await chmod(beside, 0o600)
  await rename(beside, path)
}

/**
 * One profile of the `.jit.yaml` that holds for `directory`, if the person trusts it as it is.
 * @param place.trusted the hash that is trusted, where the person's record can't be read: in a sandbox
 * @throws JitError `not_found`, `profile_invalid`, `profile_untrusted`
 */
export async function trustedProfile(
  name: string,
  place: Place & { paths: Paths; trusted?: string | undefined },
): Promise<Profile> {
  const file = await findProfileFile(place)
  if (!file) {
    throw new JitError('not_found', `there is no ${PROFILE_FILE} here, so no profile '${name}'`, {
      hint: 'give --env and --task instead',
    })
  }
  const { trusted, paths } = place
  if (!(trusted === undefined ? await isTrusted(file, paths) : file.hash === trusted)) {
    throw new JitError(
      'profile_untrusted',
      `profile '${name}' can't be used: ${file.path} is not trusted as it is now`,
      {
        hint: "look at what it asks for, and trust it, with 'jit trust'; or give --env and --task",
      },
    )
  }
  const profile = file.profiles.get(name)
  if (profile) return profile
  throw new JitError('not_found', `${file.path} has no profile '${name}'`, {
    hint: `expected one of: ${[...file.profiles.keys()].join(', ')}`,
  })
}
