import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { shellWords } from '../../src/cli/shell-words.ts'

test.each([
  [['terraform', 'apply', '-auto-approve', '-var=a=b'], 'terraform apply -auto-approve -var=a=b'],
  [['echo', 'a b', '', "it's"], "echo 'a b' '' 'it'\\''s'"],
  [['echo', '$HOME', '*', '~', '#x', ';'], "echo '$HOME' '*' '~' '#x' ';'"],
  [['A=b', 'A=b'], "'A=b' A=b"],
  [['echo', 'grün 漢字'], "echo 'grün 漢字'"],
  [['echo', 'a\nb'], "echo $'a\\u000ab'"],
  [['echo', '\\n', "$'\\n'"], "echo '\\n' '$'\\''\\n'\\'''"],
  [['rm', 'a\u202eb', 'a\u00a0b', '\u{e0041}'], "rm $'a\\u202eb' $'a\\u00a0b' $'\\U000e0041'"],
])('%j is written %s', (argv, written) => {
  expect(shellWords(argv)).toBe(written)
})

test('bash reads back what was written, whatever it is', () => {
  // Not NUL, which no argument holds, nor halves of a character, which are none.
  const word = fc.string({ unit: 'binary' }).map((text) => text.toWellFormed().replaceAll('\0', ''))
  const awkward = fc.string({
    unit: fc.constantFrom("'", '\\', '$', '"', ' ', '\n', '`', 'u', '\u202e'),
  })
  const argv = fc.array(fc.oneof(word, awkward), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(argv, (words) => {
      const script = `printf '%s\\0' ${shellWords(['x', ...words])}`
      const env = { LC_ALL: 'C.UTF-8' }
      const read = execFileSync('bash', ['--norc', '-c', script], {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
        .toString()
        .split('\0')
      expect(read).toEqual(['x', ...words, ''])
    }),
    { numRuns: 25 },
  )
})

test('what is written is one line that a terminal shows as it is', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1 }), (words) => {
      expect(shellWords(words)).not.toMatch(
        /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/u,
      )
    }),
  )
})
