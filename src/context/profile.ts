import { createHash } from 'node:crypto'
import { constants, lstatSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { readData } from '../lib/data-file.ts'
import { parseDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import { Name, Seconds, text } from '../protocol/values.ts'
import { CommandPattern } from './command-pattern.ts'
import { readProfileDocument } from './profile-document.ts'
import { SandboxSection } from './sandbox-section.ts'

export const PROFILE_FILE = '.jit.yaml'
/** Bytes: each command reads it, wherever one stands, and anyone may have written it. */
export const MAX_PROFILE = 32 * 1024

const Ttl = v.pipe(
  v.string('expected a duration like 15m'),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    try {
      return parseDuration(dataset.value)
    } catch {
      addIssue({ message: 'expected a duration like 15m, 90s or 1h30m' })
      return NEVER
    }
  }),
  Seconds,
)

/** What a profile may ask for, and for which commands: never a broker, an issuer, a command to run or a variable. */
const Profile = v.strictObject({
  environment: Name,
  task: Name,
  targets: v.exactOptional(
    v.pipe(v.array(Name, 'expected a list of targets'), v.maxLength(32, 'expected at most 32')),
  ),
  ttl: v.exactOptional(Ttl),
  reason: v.exactOptional(text(2000)),
  /** Which commands it is meant for: `jit exec` without a name finds it by them. */
  commands: v.exactOptional(
    v.pipe(
      v.array(CommandPattern, 'expected a list of commands'),
      v.maxLength(32, 'expected at most 32'),
    ),
  ),
  labels: v.exactOptional(
    v.record(
      Name,
      v.union(
        [text(256), v.boolean(), v.pipe(v.number(), v.safeInteger())],
        'expected a text of at most 256 characters, true, false or a whole number',
      ),
    ),
  ),
})
/** `ttl` in seconds. */
export type Profile = v.InferOutput<typeof Profile>

const ProfileDocument = v.pipe(
  v.strictObject({
    version: v.literal(1, 'expected 1'),
    profiles: v.exactOptional(v.record(Name, Profile)),
    sandbox: v.exactOptional(SandboxSection),
  }),
  v.check(({ profiles, sandbox }) => Boolean(profiles ?? sandbox), 'expected profiles or sandbox'),
)

/** A `.jit.yaml` as it stands in a repository: data from others, to be trusted before it is used. */
export interface ProfileFile {
  /** Absolute, with links resolved. */
  readonly path: string
  /** SHA-256 of its bytes, in hex. */
  readonly hash: string
  /** As it stands there. */
  readonly content: string
  readonly profiles: ReadonlyMap<string, Profile>
  /** Followed untrusted: it only takes away. */
  readonly sandbox?: SandboxSection
}

/**
 * The nearest `.jit.yaml` from `directory` up to the top of its working tree; outside a repository
 * in `directory` alone.
 * @param root the top of the working tree, where there is one
 * @throws JitError `profile_invalid` with file, line and what was expected
 */
export async function findProfileFile(place: Place): Promise<ProfileFile | undefined> {
  const [nearest] = pathsIn(place)
  return nearest === undefined ? undefined : readProfileFile(nearest)
}

/** Where somebody stands, and the top of the working tree, where there is one. */
export interface Place {
  readonly directory: string
  readonly root: string | undefined
}

/**
 * All of them, the nearest first: what the others take away, a nearer one doesn't give back.
 * @throws JitError `profile_invalid`
 */
export async function profileFiles(place: Place): Promise<ProfileFile[]> {
  return Promise.all(pathsIn(place).map(readProfileFile))
}

function pathsIn({ directory, root }: Place): string[] {
  return foldersBetween(directory, root)
    .map((folder) => join(folder, PROFILE_FILE))
    .filter(isThere)
}

async function readProfileFile(path: string): Promise<ProfileFile> {
  const bytes = readData(path, MAX_PROFILE, constants.O_NOFOLLOW)
  if (!bytes) {
    throw new JitError('profile_invalid', `${path}: expected a file of at most 32 KiB, not a link`)
  }
  const hash = createHash('sha256').update(bytes).digest('hex')
  const content = bytes.toString()
  return { path, hash, content, ...(await parseProfiles(content, path)) }
}

/** @throws JitError `profile_invalid` */
export async function parseProfiles(
  content: string,
  path: string,
): Promise<Pick<ProfileFile, 'profiles' | 'sandbox'>> {
  const { profiles = {}, sandbox } = await readProfileDocument(ProfileDocument, { content, path })
  return { profiles: new Map(Object.entries(profiles)), ...(sandbox && { sandbox }) }
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined
  } catch {
    return false
  }
}

function foldersBetween(start: string, root: string | undefined): string[] {
  let directory: string
  try {
    directory = realpathSync(start)
  } catch {
    return []
  }
  const folders = [directory]
  if (root === undefined || !`${directory}/`.startsWith(`${root}/`)) return folders
  for (let folder = directory; folder !== root; ) {
    folder = dirname(folder)
    folders.push(folder)
  }
  return folders
}
