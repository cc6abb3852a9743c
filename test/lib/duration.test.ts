import { expect, test } from 'vitest'
import { formatDuration, parseDuration } from '../../src/lib/duration.ts'
import { JitError } from '../../src/lib/errors.ts'

test.each([
  ['90s', 90],
  ['15m', 900],
  ['1h30m', 5400],
  ['2d', 172_800],
  ['1d2h3m4s', 93_784],
])('%s is %d seconds', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds)
})

test.each(['', '15', 'm', '-5m', '1.5h', '15m ', '30s15m', '0s', '1e3s', '９s', '99999999d'])(
  '%j is refused, with what was expected',
  (text) => {
    expect(() => parseDuration(text)).toThrow(JitError)
    expect(() => parseDuration(text)).toThrow('is not a duration')
  },
)

test.each([
  [0, '0s'],
  [-3, '0s'],
  [59.6, '1m'],
  [90, '1m 30s'],
  [3600, '1h'],
  [93_784, '1d 2h'],
])('%d seconds read %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text)
})
