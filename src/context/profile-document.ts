import * as v from 'valibot'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { Schema } from '../protocol/parse.ts'

/** Keys that plain objects have: validation would leave them out silently. */
const UNUSABLE_KEYS = new Set(['__proto__', 'prototype', 'constructor'])

/**
 * One YAML document as `T`: plain data without aliases, each key once.
 * @throws JitError `profile_invalid` with file, line and what was expected
 */
export async function readProfileDocument<T>(
  schema: Schema<T>,
  { content, path }: { content: string; path: string },
): Promise<T> {
  // A CommonJS package: inside the bundle it has nothing but a default export.
  const { default: yaml } = await import('yaml')
  const lines = new yaml.LineCounter()
  const fail = (offset: number, message: string, hint?: string) => {
    const { line } = lines.linePos(offset)
    const where = `${path}:${Math.max(1, line)}: ${message}`
    return new JitError('profile_invalid', escapeForDisplay(where), hint ? { hint } : {})
  }
  const startOf = (node: unknown) => (yaml.isNode(node) ? (node.range?.[0] ?? 0) : 0)
  try {
    const options = { lineCounter: lines, prettyErrors: false, logLevel: 'error' } as const
    const document = yaml.parseDocument(content, options)
    const [error] = document.errors
    if (error) {
      // The parser's word for an exhausted stack: thousands of open brackets.
      const deep = error.code === 'RESOURCE_EXHAUSTION'
      throw fail(error.pos[0], deep ? 'nested too deeply' : error.message)
    }
    yaml.visit(document, {
      Alias: (_, node) => {
        throw fail(startOf(node), 'expected no aliases')
      },
      Pair: (_, { key }) => {
        const name = yaml.isScalar(key) ? key.value : undefined
        if (typeof name === 'string' && !UNUSABLE_KEYS.has(name)) return
        throw fail(startOf(key), 'expected a name as the key')
      },
    })
    const result = v.safeParse(schema, document.toJS(), { abortEarly: true })
    if (result.success) return result.output
    const [issue] = result.issues
    const keys = issue.path?.map((item) => item.key) ?? []
    const { message, hint } = explain(issue)
    throw fail(offsetOf(document.contents, keys, yaml), `${where(keys)}${message}`, hint)
  } catch (thrown) {
    throw thrown instanceof RangeError ? fail(0, 'nested too deeply') : thrown
  }
}

function where(keys: readonly unknown[]): string {
  return keys.length > 0 ? `${keys.join('.')}: ` : ''
}

const PROFILE_KEYS =
  'a profile has environment, task, targets, ttl, reason, commands and labels: it names what to ask for, never a broker, an issuer, a command to run or a variable'
const SANDBOX_KEYS =
  'sandbox has hidden, readonly and domains: a repository takes away, and adds nothing'

/** A complaint in the words of the file; valibot's own speak of types. */
function explain(issue: v.BaseIssue<unknown>): { message: string; hint?: string } {
  if (issue.type !== 'strict_object' && issue.type !== 'record') {
    return { message: issue.message.replace(/^Invalid \w+: /, '').replace(/^E/, 'e') }
  }
  if (issue.expected === 'never') {
    return {
      message: 'unknown key',
      hint: issue.path?.[0]?.key === 'sandbox' ? SANDBOX_KEYS : PROFILE_KEYS,
    }
  }
  return {
    message: issue.type === 'strict_object' && issue.path ? missing(issue) : 'expected a map',
  }
}

function missing(issue: v.BaseIssue<unknown>): string {
  return issue.received === 'undefined' ? 'missing' : 'expected a map'
}

/** Where the value of the deepest key stands, or its key. */
function offsetOf(node: unknown, keys: readonly unknown[], yaml: typeof import('yaml')): number {
  let current = node
  let offset = yaml.isNode(node) ? (node.range?.[0] ?? 0) : 0
  for (const key of keys) {
    if (yaml.isSeq(current)) current = current.items[Number(key)]
    else if (yaml.isMap(current)) {
      const pair = current.items.find((item) => yaml.isScalar(item.key) && item.key.value === key)
      if (!pair) break
      if (yaml.isNode(pair.key)) offset = pair.key.range?.[0] ?? offset
      current = pair.value
    } else break
    if (yaml.isScalar(current)) offset = current.range?.[0] ?? offset
  }
  return offset
}
