import * as v from 'valibot'
import { expect, test } from 'vitest'
import { parseJson } from '../../src/protocol/parse.ts'
import { AuthorizationDetails } from '../../src/protocol/request.ts'
import { request } from '../broker/harness.ts'

const refusal = (text: string) => () => parseJson(AuthorizationDetails, text, { what: 'request' })

test.each([
  ['reason', { reason: 'a\ud800' }],
  ['labels.model', { labels: { model: '\udc00' } }],
  ['command.argv.1', { command: { argv: ['a', '\ud800'], directory: '/', executable: '/a' } }],
])('half a character in %s is refused: no canonical form could be recorded', (where, part) => {
  const expected = `request: ${where}: expected whole characters: this has half of one`
  expect(refusal(JSON.stringify(request(part)))).toThrow(expected)
})

test('an array is no object, where all of it may be left out either', () => {
  expect(refusal(JSON.stringify(request({ labels: [] as never })))).toThrow(
    'request: labels: expected Object',
  )
  const optional = v.strictObject({ reason: v.optional(v.string(), '') })
  expect(() => parseJson(optional, '[]', { what: 'refusal' })).toThrow('refusal: expected Object')
  expect(parseJson(v.array(v.string()), '[]', { what: 'list' })).toEqual([])
})

test.each(['__proto__', 'constructor', 'prototype'])(
  'a label called %s is refused, not left out without a word',
  (name) => {
    const text = JSON.stringify(request()).replace('"labels":{}', `"labels":{"${name}":"x"}`)
    expect(refusal(text)).toThrow('request: labels: expected no name such as')
  },
)
