import * as v from 'valibot'
import type { ConfigDocument, Mistake, Path } from './document.ts'
import { parseDuration } from './duration.ts'
import { nearest } from './nearest.ts'

export const isMap = (input: unknown): input is Record<string, unknown> =>
  typeof input === 'object' && input !== null && !Array.isArray(input)

const AnyMap = v.custom<Record<string, unknown>>(isMap, 'expected a map')

/** What to say of a key that is unknown, and of one that is missing. */
function keyMessage(key: string, known: readonly string[]): string {
  if (known.includes(key)) return 'expected a value: this key is required'
  const meant = nearest(key, known)
  return meant
    ? `unknown key: did you mean '${meant}'?`
    : `unknown key: expected ${known.join(', ')}`
}

/** A map with these keys and no others. */
export function map<const Entries extends v.ObjectEntries>(entries: Entries) {
  const known = Object.keys(entries)
  const message = (issue: v.StrictObjectIssue) =>
    keyMessage(String(issue.path?.at(-1)?.key ?? ''), known)
  return v.pipe(AnyMap, v.strictObject(entries, message))
}

/** A map from names to one kind of thing. */
export function mapOf<
  const Key extends v.GenericSchema<string, string>,
  const Value extends v.GenericSchema,
>(key: Key, value: Value) {
  return v.pipe(AnyMap, v.record(key, value))
}

export const list = <const Item extends v.GenericSchema>(item: Item) =>
  v.array(item, 'expected a list')

export const Text = v.pipe(
  v.string('expected text: quote what reads as a number or a boolean'),
  v.minLength(1, 'expected text'),
  v.maxLength(2048, 'expected at most 2048 characters'),
)

export const Flag = v.boolean('expected true or false')

const LONGEST_SECONDS = 604_800
const DURATION = 'expected a duration like 15m, 90s or 1h30m, at most 7d'

/** `15m` → seconds, up to so many. */
export const durationUpTo = (longest: number, expected: string) =>
  v.pipe(
    v.string(expected),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      try {
        const seconds = parseDuration(dataset.value)
        if (seconds <= longest) return seconds
      } catch {
        // Said below, with the path.
      }
      addIssue({ message: expected })
      return NEVER
    }),
  )

/** `15m` → seconds, at most a week. */
export const Duration = durationUpTo(LONGEST_SECONDS, DURATION)

/**
 * A document, or a part of it, as its schema says; or the mistake that explains most: an unknown key
 * before what it left missing.
 * @param under where the part stands
 * @param known keys that are known beside the schema's own at its top
 * @throws JitError `config_invalid` with file and line
 */
export function validateDocument<T>(
  document: ConfigDocument,
  schema: v.GenericSchema<unknown, T>,
  { input, under = [], known = [] }: { input: unknown; under?: Path; known?: readonly string[] },
): T {
  const result = v.safeParse(schema, input)
  if (result.success) return result.output
  const unknown = result.issues.find(({ expected }) => expected === 'never')
  const issue = unknown ?? result.issues[0]
  const path = (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)))
  throw document.mistake({
    path: [...under, ...path],
    message: explain(issue, { schema, path, known }),
  })
}

/** The first of the mistakes, if there is one. @throws JitError `config_invalid` with file and line */
export function refuse(document: ConfigDocument, mistakes: Iterable<Mistake>): void {
  for (const mistake of mistakes) throw document.mistake(mistake)
}

interface Place {
  readonly schema: v.GenericSchema
  readonly path: Path
  readonly known: readonly string[]
}

/** Valibot's own messages quote what was received, which may be a secret. */
function explain(issue: v.BaseIssue<unknown>, { schema, path, known }: Place): string {
  if (!issue.message.startsWith('Invalid ')) return issue.message
  if (issue.input === undefined) return 'expected a value: this key is required'
  if (issue.expected === 'never') {
    const keys = [...knownKeys(schema, path.slice(0, -1)), ...(path.length > 1 ? [] : known)]
    return keyMessage(String(path.at(-1)), keys)
  }
  return `expected ${issue.expected ?? 'another value'}`
}

/** The keys that a schema knows at a place; kinds of targets bring schemas of their own. */
function knownKeys(schema: unknown, path: Path): string[] {
  const { pipe, wrapped, entries, value, item } = schema as Partial<Record<string, unknown>>
  if (Array.isArray(pipe))
    return pipe.flatMap((step) => knownKeys({ ...step, pipe: undefined }, path))
  if (wrapped) return knownKeys(wrapped, path)
  const [key, ...rest] = path
  if (key === undefined) return Object.keys(entries ?? {})
  const next = (entries as Record<string, unknown> | undefined)?.[key] ?? value ?? item
  return next ? knownKeys(next, rest) : []
}
