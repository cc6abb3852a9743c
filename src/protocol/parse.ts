import * as v from 'valibot'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'

export type Schema<T> = v.GenericSchema<unknown, T>

/**
 * What came from outside, as `T`.
 * @param what names the thing in the error: `request`, `lifeline message`
 * @throws JitError `code` (`request_invalid` unless given): the first thing that is wrong, and where
 */
export function parse<T>(
  schema: Schema<T>,
  input: unknown,
  { what, code = 'request_invalid' }: { what: string; code?: ErrorCode },
): T {
  // Valibot takes an array for an object without members.
  if (Array.isArray(input) && schema.type.endsWith('object')) {
    throw new JitError(code, `${what}: expected Object`)
  }
  const result = v.safeParse(schema, input, { abortEarly: true })
  if (result.success) return result.output
  const issue = result.issues[0]
  const path = v.getDotPath(issue)
  const where = path ? `${what}: ${path}` : what
  // Valibot's own messages quote what was received, which may be a secret.
  const message = issue.message.startsWith('Invalid ')
    ? `expected ${issue.expected ?? 'another value'}`
    : issue.message
  throw new JitError(code, escapeForDisplay(`${where}: ${message}`))
}

/**
 * JSON text as `T`.
 * @throws JitError as {@link parse}; text that isn't JSON as well
 */
export function parseJson<T>(
  schema: Schema<T>,
  text: string,
  options: { what: string; code?: ErrorCode },
): T {
  let input: unknown
  try {
    input = JSON.parse(text)
  } catch (cause) {
    throw new JitError(options.code ?? 'request_invalid', `${options.what}: not JSON`, { cause })
  }
  return parse(schema, input, options)
}
