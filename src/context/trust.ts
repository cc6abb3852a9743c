import { createHash } from 'node:crypto'
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
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
  parseProfiles,
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

/** Trusts the file as it is now; any change to it ends that. Its text is kept, to tell what changed. */
export async function trust(file: ProfileFile, paths: Paths): Promise<void> {
  const before = await readTrusted(paths)
  await writeWhole(paths, textOf(paths, file.hash), file.content)
  const trusted = { ...before, [file.path]: file.hash }
  await writeTrusted(paths, trusted)
  await forgetText(before[file.path], { paths, trusted })
}

/** What the person's record says of a file: that content is trusted, another one was, or none ever. */
export type TrustRecord =
  | { readonly kind: 'trusted' | 'never' }
  /** `then`: what it said; absent where that isn't known any more. */
  | { readonly kind: 'changed'; readonly then?: Pick<ProfileFile, 'profiles' | 'sandbox'> }

/** @throws JitError `config_invalid` where the record can't be read */
export async function trustRecord(file: ProfileFile, paths: Paths): Promise<TrustRecord> {
  const trusted = await readTrusted(paths)
  const hash = Object.hasOwn(trusted, file.path) ? trusted[file.path] : undefined
  if (hash === undefined) return { kind: 'never' }
  if (hash === file.hash) return { kind: 'trusted' }
  const path = textOf(paths, hash)
  const content = await readFile(path, 'utf8').catch(() => undefined)
  if (content === undefined || hashOf(content) !== hash) return { kind: 'changed' }
  const then = await parseProfiles(content, path).catch(() => undefined)
  return { kind: 'changed', ...(then && { then }) }
}

/** @returns whether it was trusted, in this or another content */
export async function untrust(path: string, paths: Paths): Promise<boolean> {
  const { [path]: before, ...rest } = await readTrusted(paths)
  if (before === undefined) return false
  await writeTrusted(paths, rest)
  await forgetText(before, { paths, trusted: rest })
  return true
}

const recordOf = (paths: Paths) => join(paths.data, 'trusted.json')
const textOf = (paths: Paths, hash: string) => join(paths.data, `trusted-${hash}.yaml`)
const hashOf = (content: string) => createHash('sha256').update(content).digest('hex')

/** Two places may have the same content. */
async function forgetText(
  hash: string | undefined,
  { paths, trusted }: { paths: Paths; trusted: Trusted },
): Promise<void> {
  if (hash === undefined || Object.values(trusted).includes(hash)) return
  await rm(textOf(paths, hash), { force: true })
}

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

async function writeTrusted(paths: Paths, trusted: Trusted): Promise<void> {
  const text = `${JSON.stringify({ version: 1, trusted }, null, 2)}\n`
  await writeWhole(paths, recordOf(paths), text)
}

/** Whole or not at all: written beside it, then put in its place. */
async function writeWhole(paths: Paths, path: string, text: string): Promise<void> {
  await mkdir(paths.data, { recursive: true, mode: 0o700 })
  const beside = `${path}.${process.pid}.new`
  await writeFile(beside, text, { mode: 0o600 })
  await chmod(beside, 0o600)
  await rename(beside, path)
}

/** Where somebody stands, with their record of trust. */
export interface TrustingPlace extends Place {
  readonly paths: Paths
  /** The hash that is trusted, where the person's record can't be read: in a sandbox. */
  readonly trusted?: string | undefined
}

/**
 * The `.jit.yaml` that holds here, and whether the person trusts it as it is.
 * @throws JitError `profile_invalid`, `config_invalid`
 */
export async function profileFileHere(
  place: TrustingPlace,
): Promise<{ readonly file: ProfileFile; readonly isTrusted: boolean } | undefined> {
  const file = await findProfileFile(place)
  if (!file) return undefined
  const { trusted, paths } = place
  const known = trusted === undefined ? await isTrusted(file, paths) : file.hash === trusted
  return { file, isTrusted: known }
}

/**
 * One profile of the `.jit.yaml` that holds for `directory`, if the person trusts it as it is.
 * @throws JitError `not_found`, `profile_invalid`, `profile_untrusted`
 */
export async function trustedProfile(name: string, place: TrustingPlace): Promise<Profile> {
  const here = await profileFileHere(place)
  if (!here) {
    throw new JitError('not_found', `there is no ${PROFILE_FILE} here, so no profile '${name}'`, {
      hint: "write one with 'jit init', or give --env and --task",
    })
  }
  const { file } = here
  if (!here.isTrusted) {
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
