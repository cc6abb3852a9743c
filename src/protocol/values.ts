import * as v from 'valibot'

/** Names of environments, tasks, targets, groups, labels: what policies and flags call things. */
export const Name = v.pipe(
  v.string(),
  v.regex(
    /^[a-z][a-z0-9_-]{0,62}$/,
    'expected a name: a lower-case letter, then up to 62 of a-z 0-9 _ -',
  ),
)

/** Half of a surrogate pair is no character: no canonical JSON has one (RFC 8785 section 3.2.2.2). */
export const whole = v.check(
  (text: string) => text.isWellFormed(),
  'expected whole characters: this has half of one',
)

/** Free text of a person, bounded. */
export const text = (max: number) =>
  v.pipe(v.string(), v.maxLength(max, `expected at most ${max} characters`), whole)

/** Names that every object has, which a record leaves out without a word. */
const LEFT_OUT = ['__proto__', 'prototype', 'constructor']

/** Values by their names. */
export const byName = <T>(value: v.GenericSchema<unknown, T>) =>
  v.pipe(
    v.unknown(),
    v.check(
      (input) => !LEFT_OUT.some((name) => Object.hasOwn(Object(input), name)),
      `expected no name such as ${LEFT_OUT.join(', ')}`,
    ),
    // Valibot takes an array for a record.
    v.check((input) => !Array.isArray(input), 'expected Object'),
    v.record(Name, value),
  )

/** RFC 3339 in UTC. */
export const Timestamp = v.pipe(v.string(), v.isoTimestamp('expected an RFC 3339 time'))

/** Seconds, whole, at least 1 and at most a week. */
export const Seconds = v.pipe(
  v.number('expected seconds'),
  v.integer('expected whole seconds'),
  v.minValue(1, 'expected at least 1 second'),
  v.maxValue(604_800, 'expected at most a week'),
)

/** The name of an environment variable. */
export const VariableName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'expected the name of an environment variable'),
)

/** An opaque identifier that one side made and the other hands back. */
export const OpaqueId = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9_-]{1,128}$/, 'expected an identifier: 1 to 128 of A-Z a-z 0-9 _ -'),
)
