import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
} from 'yaml'
import { JitError } from './errors.ts'
import { escapeForDisplay } from './escape.ts'

export type Path = readonly (string | number)[]

/** A mistake at a place in the file. Never quotes a value: it may be a secret. */
export interface Mistake {
  readonly path: Path
  readonly message: string
  readonly hint?: string
}

/** A YAML file read as data, which can say where each of its values stands. */
export interface ConfigDocument {
  readonly value: unknown
  /** The line of the value at `path`, or of the deepest part of it that is there. */
  line(path: Path): number
  /** The error for a mistake: `broker.yaml:12: targets.shop-db.ttl: expected …`. */
  mistake(mistake: Mistake): JitError
}

const MAX_LENGTH = 1024 * 1024
// Aliases resolved in all: a file of a few lines can't grow into millions of nodes.
const MAX_ALIASES = 100
// Keys that records leave out silently, because plain objects have them.
const UNUSABLE_KEYS = new Set(['__proto__', 'prototype', 'constructor'])

/**
 * Reads one YAML 1.2 document that is a map with string keys.
 * @throws JitError `config_invalid` with file and line
 */
export function readDocument(text: string, file: string): ConfigDocument {
  const at = (line: number, message: string, hint?: string) =>
    new JitError('config_invalid', escapeForDisplay(`${file}:${line}: ${message}`), {
      ...(hint === undefined ? {} : { hint }),
    })
  if (text.length > MAX_LENGTH) throw at(1, 'expected at most 1 MiB')
  const lines = new LineCounter()
  const document = readYaml(text, lines, at)
  const value = toValue(document, at)
  return {
    value,
    line: (path) => lineOf(document, path, lines),
    mistake: ({ path, message, hint }) => {
      const where = path.length > 0 ? `${path.join('.')}: ` : ''
      return at(lineOf(document, path, lines), where + message, hint)
    },
  }
}

type At = (line: number, message: string, hint?: string) => JitError

function readYaml(text: string, lines: LineCounter, at: At): Document {
  let document: Document
  try {
    const options = {
      lineCounter: lines,
      logLevel: 'error',
      // It would quote the file, and with it what may be a secret.
      prettyErrors: false,
      // It compares each key of a map with all before it: `refuseOddKeys` remembers them.
      uniqueKeys: false,
    } as const
    document = parseDocument(text, options)
  } catch (cause) {
    // Thousands of open brackets exhaust the stack.
    throw cause instanceof RangeError ? at(1, 'nested too deeply') : cause
  }
  const [error] = document.errors
  if (error) throw at(lineAt(lines, error.pos[0]), describe(error.code))
  if (document.contents === null) throw at(1, 'the file is empty')
  if (!isMap(document.contents))
    throw at(lineAt(lines, rangeStart(document.contents)), 'expected a map')
  refuseOddKeys(document, lines, at)
  return document
}

function refuseOddKeys(document: Document, lines: LineCounter, at: At): void {
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Set<string>()
      for (const { key } of items) {
        const name = isScalar(key) ? key.value : undefined
        const line = lineAt(lines, rangeStart(key))
        if (typeof name !== 'string' || UNUSABLE_KEYS.has(name)) {
          const hint = 'quote keys that read as numbers, booleans or null'
          throw at(line, 'expected a name as the key', hint)
        }
        if (seen.has(name)) throw at(line, 'this key is here twice')
        seen.add(name)
      }
    },
  })
}

function toValue(document: Document, at: At): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch (cause) {
    if (cause instanceof ReferenceError)
      throw at(1, 'too many aliases, or one that contains itself')
    throw cause instanceof RangeError ? at(1, 'nested too deeply') : cause
  }
}

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'indented with a tab: expected spaces',
  MULTIPLE_DOCS: 'expected one document',
  BAD_INDENT: 'the indentation does not fit the lines above',
  MULTILINE_IMPLICIT_KEY: "expected 'key: value'",
  MISSING_CHAR: 'a colon, quote or bracket is missing',
  BLOCK_AS_IMPLICIT_KEY: "two 'key: value' on one line",
  BAD_ALIAS: 'an alias of an anchor that is not above',
}

/** The parser's own messages may quote the text. */
function describe(code: string): string {
  return DESCRIPTIONS[code] ?? `not YAML (${code.toLowerCase().replaceAll('_', ' ')})`
}

function rangeStart(node: unknown): number {
  return (node as { range?: [number, number, number] | null } | null)?.range?.[0] ?? 0
}

function lineAt(lines: LineCounter, offset: number): number {
  return Math.max(1, lines.linePos(offset).line)
}

/** The line of the value at `path`, or of the deepest part of it that is there. */
function lineOf(document: Document, path: Path, lines: LineCounter): number {
  let node: unknown = document.contents
  let offset = rangeStart(node)
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (!isCollection(node)) break
    const pair = isMap(node)
      ? node.items.find((item) => isScalar(item.key) && item.key.value === key)
      : undefined
    const next: unknown = pair ? pair.value : node.get(key, true)
    if (!pair && next === undefined) break
    // The key's line says more than the first line of a block under it.
    offset = pair && !isScalar(next) ? rangeStart(pair.key) : rangeStart(next)
    node = next
  }
  return lineAt(lines, offset)
}
