import fc from 'fast-check'

/** A place in something of any length: from 0 to 1. */
const place = fc.double({ min: 0, max: 1, noNaN: true })
const at = (length: number, fraction: number) => Math.floor(length * fraction)

/** What parsers trip over: controls, separators, half a character, numbers out of range, names that objects have. */
const ODD_TEXTS = [
  ...['\0', '\ufeff', '\r\n', '\r', '\n', '\t', '\u001b[2J\u001b]0;x\u0007', '\u2028', '\u202e'],
  ...['\ud800', '\udc00', '\u{10ffff}', 'İ', 'ß', '\u0301'],
  ...['"', "'", '\\', '`', '{', '}', '[', ']', '(', ')', '<', '>', ':', ';', ',', '#', '&', '*'],
  ...['!', '|', '?', '%', '@', '~', '^', '=', '-', '/', '..', '../', ' ', '.', '$(touch x)'],
  ...['0', '-1', '-0', '1e999', '9'.repeat(400), '0x10', '9007199254740993', '1e-999', 'NaN'],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'null', 'true'],
  ...['<<', '&a', '*a', '!!binary', '!!set', '!!omap', '%YAML 1.1\n---\n', '---\n', '...\n', '? '],
]

/** What grammars repeat: where one tries every way to share a run of them, a long run shows it. */
const REPEATED = [
  ' ',
  '\t',
  '\n',
  '\r',
  '\\',
  '"',
  "'",
  '\\\n',
  '\\"',
  '[',
  '{',
  '{"a":',
  '- ',
  '*',
]
REPEATED.push('a', '0', '.', '/', ':', '#', '? ', ',', ';', '&a ', '<<: ', '!')

type TextEdit = (text: string) => string

/** How long a part grows by being repeated; long ones cost. */
const lengths = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom(2, 30, 300) },
  { weight: 4, arbitrary: fc.constant(5000) },
  { weight: 2, arbitrary: fc.constant(60_000) },
)

const textEdit: fc.Arbitrary<TextEdit> = fc.oneof(
  fc.tuple(place, fc.constantFrom(...ODD_TEXTS)).map(
    ([where, odd]) =>
      (text: string) =>
        spliced(text, at(text.length, where), 0, odd),
  ),
  fc.tuple(place, fc.nat(20), fc.constantFrom('', ...ODD_TEXTS)).map(
    ([where, cut, odd]) =>
      (text: string) =>
        spliced(text, at(text.length, where), cut, odd),
  ),
  fc.tuple(place, fc.nat(40), place).map(([from, length, to]) => (text: string) => {
    const start = at(text.length, from)
    return spliced(text, at(text.length, to), 0, text.slice(start, start + length))
  }),
  fc.tuple(place, fc.integer({ min: 1, max: 8 }), lengths).map(([where, length, total]) => {
    return (text: string) => {
      const start = at(text.length, where)
      const part = text.slice(start, start + length)
      return spliced(text, start, 0, part.repeat(Math.ceil(total / length)))
    }
  }),
  fc
    .tuple(place, fc.constantFrom(...REPEATED), lengths)
    .map(([where, odd, total]) => (text: string) => {
      return spliced(text, at(text.length, where), 0, odd.repeat(Math.ceil(total / odd.length)))
    }),
  place.map((where) => (text: string) => text.slice(0, at(text.length, where))),
)

function spliced(text: string, start: number, cut: number, put: string): string {
  return text.slice(0, start) + put + text.slice(start + cut)
}

/** One of the samples, with a few things done to it; now and then nothing but noise. */
export function mutatedText(...samples: readonly string[]): fc.Arbitrary<string> {
  const mutated = fc
    .tuple(fc.constantFrom(...samples), fc.array(textEdit, { maxLength: 4 }))
    .map(([sample, edits]) => edits.reduce((text, edit) => edit(text), sample))
  const noise = fc.array(fc.constantFrom(...ODD_TEXTS), { maxLength: 40 }).map((t) => t.join(''))
  return fc.oneof({ weight: 9, arbitrary: mutated }, { weight: 1, arbitrary: noise })
}

type ByteEdit = (bytes: Buffer) => Buffer

const EDGES = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]

const byteEdit: fc.Arbitrary<ByteEdit> = fc.oneof(
  fc.tuple(place, fc.nat(255)).map(([where, value]) => (bytes: Buffer) => {
    const start = at(bytes.length, where)
    return Buffer.concat([bytes.subarray(0, start), Buffer.of(value), bytes.subarray(start + 1)])
  }),
  fc.tuple(place, fc.constantFrom(...EDGES)).map(([where, edge]) => (bytes: Buffer) => {
    // Numbers of these formats lie on four bytes.
    const start = at(bytes.length, where) & ~3
    const number = Buffer.alloc(4)
    number.writeUInt32BE(edge)
    return Buffer.concat([bytes.subarray(0, start), number, bytes.subarray(start + 4)])
  }),
  fc.tuple(place, place, fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)).map(([from, to, value]) => {
    return (bytes: Buffer) => Buffer.from(bytes).fill(value, ...span(bytes.length, from, to))
  }),
  fc.tuple(place, fc.nat(64), lengths).map(([where, length, total]) => (bytes: Buffer) => {
    const start = at(bytes.length, where)
    const part = bytes.subarray(start, start + length + 1)
    const again = Array.from({ length: Math.ceil(total / (length + 1)) }, () => part)
    return Buffer.concat([bytes.subarray(0, start), ...again, bytes.subarray(start)])
  }),
  fc.tuple(place, fc.nat(64)).map(([where, length]) => (bytes: Buffer) => {
    const start = at(bytes.length, where)
    return Buffer.concat([bytes.subarray(0, start), bytes.subarray(start + length)])
  }),
  place.map((where) => (bytes: Buffer) => bytes.subarray(0, at(bytes.length, where))),
)

function span(length: number, from: number, to: number): [number, number] {
  return [at(length, Math.min(from, to)), at(length, Math.max(from, to))]
}

/** One of the samples, with a few bytes exchanged, put in, taken out or repeated. */
export function mutatedBytes(...samples: readonly Buffer[]): fc.Arbitrary<Buffer> {
  return fc
    .tuple(fc.constantFrom(...samples), fc.array(byteEdit, { minLength: 1, maxLength: 4 }))
    .map(([sample, edits]) => edits.reduce((bytes, edit) => edit(bytes), sample))
}

/** What nests too deeply to be made as a value. */
const DEEP: Readonly<Record<string, string>> = {
  '"@deep-list@"': `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
  '"@deep-map@"': `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
}

const ODD_VALUES: readonly unknown[] = [
  ...[null, true, false, 0, -0, -1, 1.5, 1e21, 2 ** 53, Number.MAX_VALUE, '', [], {}, [[]]],
  ...ODD_TEXTS,
  ...['a'.repeat(70), 'a'.repeat(5000), 'a'.repeat(100_000)],
  JSON.parse('{"__proto__":{"polluted":true}}'),
  ...['@deep-list@', '@deep-map@'],
  Array.from({ length: 5000 }, () => 'a'),
]

type JsonEdit = (value: unknown) => unknown

const jsonEdit: fc.Arbitrary<JsonEdit> = fc
  .record({
    where: place,
    value: fc.constantFrom(...ODD_VALUES),
    key: fc.constantFrom(...ODD_TEXTS, 'extra'),
    odd: fc.constantFrom(...ODD_TEXTS),
    how: fc.constantFrom('replace', 'splice', 'splice', 'remove', 'add', 'wrap'),
  })
  .map(({ where, value, key, odd, how }) => (root: unknown) => {
    const copy: unknown = JSON.parse(JSON.stringify(root))
    const places = placesIn(copy)
    const found = places[at(places.length, where)]
    if (!found) return value
    const { holder, name } = found
    if (how === 'replace') define(holder, name, value)
    else if (how === 'splice') define(holder, name, withOdd(holder[name], { odd, where }))
    else if (how === 'wrap') define(holder, name, [holder[name]])
    else if (how === 'add') define(holder, key, value)
    else delete holder[name]
    return copy
  })

function withOdd(value: unknown, { odd, where }: { odd: string; where: number }): unknown {
  return typeof value === 'string' ? spliced(value, at(value.length, where), 0, odd) : odd
}

interface JsonPlace {
  readonly holder: Record<string, unknown>
  readonly name: string
}

function placesIn(value: unknown, found: JsonPlace[] = []): JsonPlace[] {
  if (typeof value !== 'object' || value === null || found.length > 500) return found
  const holder = value as Record<string, unknown>
  for (const name of Object.keys(holder)) {
    found.push({ holder, name })
    placesIn(holder[name], found)
  }
  return found
}

/** As JSON would: `__proto__` is a key like others. */
function define(holder: object, name: string, value: unknown): void {
  Object.defineProperty(holder, name, {
    ...{ value, enumerable: true, configurable: true, writable: true },
  })
}

/** JSON of one of the samples, with members exchanged, added, left out. */
export function mutatedJson(...samples: readonly unknown[]): fc.Arbitrary<string> {
  const mutated = fc
    .tuple(fc.constantFrom(...samples), fc.array(jsonEdit, { minLength: 1, maxLength: 3 }))
    .map(([sample, edits]) => JSON.stringify(edits.reduce((value, edit) => edit(value), sample)))
    .map((text) => text.replace(/"@deep-\w+@"/g, (name) => DEEP[name] ?? name))
  const texts = samples.map((sample) => JSON.stringify(sample))
  return fc.oneof(
    { weight: 4, arbitrary: mutated },
    { weight: 1, arbitrary: mutatedText(...texts) },
  )
}
